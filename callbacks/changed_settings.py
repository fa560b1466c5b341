"""A resumed run's optimizer settings: the checkpoint's, unless they were changed since."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

Settings = list[dict[str, Any]]


def settings(trainer: Trainer) -> Settings:
    """The numbers that each optimizer was made with, by name: lr, weight_decay, betas ..."""
    return [
        {
            key: value
            for key, value in optimizer.defaults.items()
            # torch adds `differentiable` to any optimizer when it loads a state
            if value is not None and key != "differentiable"
        }
        for optimizer in trainer.optimizers
    ]


def described(groups: Settings) -> list[str]:
    """Each parameter group by its name or number, and its number of parameters: head (2)."""
    names = [str(group.get("name", number)) for number, group in enumerate(groups)]
    return [f"{k} ({len(group['params'])})" for k, group in zip(names, groups, strict=True)]


class ChangedSettings(Callback):
    """Lets `--model.optimizer.lr` and the like mean what they say when a run is resumed.

    An optimizer's saved state holds its settings too, and torch restores them over those that the
    optimizer was just made with. This keeps the ones of the first start beside the state, and
    applies those that are not the same any more to all parameter groups, to each as it was made:
    with its own multiple of the rate, and without weight decay where it has none.

    ```yaml
    - class_path: ChangedSettings
    ```

    Raises:
        ValueError: if the run was trained with other parameter groups, whose state fits no others
    """

    def __init__(self) -> None:
        self.saved: Settings = []
        self.made: list[Settings] = []  # each group's, as it was made
        self.groups: list[list[str]] = []  # of the checkpoint

    def state_dict(self) -> dict[str, Any]:
        return {"settings": self.saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.saved = state_dict["settings"]

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            states = checkpoint.get("optimizer_states", [])
            self.groups = [described(state["param_groups"]) for state in states]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Here optimizers are as they were made; those of a resumed run are restored after this.
        self.made = [list(map(dict, optimizer.param_groups)) for optimizer in trainer.optimizers]
        for before, groups in zip(self.groups, map(described, self.made), strict=False):
            if before != groups:
                raise ValueError(
                    f"the run was trained with the parameter groups {', '.join(before)}, and not "
                    f"{', '.join(groups)}: resume with its own --model.groups and Unfreeze, or "
                    "train anew without --ckpt_path"
                )
        self.groups = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        made = settings(trainer)
        # Empty in a first start.
        parts = zip(trainer.optimizers, self.made, self.saved, made, strict=False)
        for optimizer, groups, before, now in parts:
            for key, value in now.items():
                if key in before and before[key] != value:
                    for group, own in zip(optimizer.param_groups, groups, strict=False):
                        group[key] = own[key]
        self.saved, self.made = made, []
