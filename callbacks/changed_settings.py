"""A resumed run's optimizer settings: the checkpoint's, unless they were changed since."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

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


class ChangedSettings(Callback):
    """Lets `--model.optimizer.lr` and the like mean what they say when a run is resumed.

    An optimizer's saved state holds its settings too, and torch restores them over those that the
    optimizer was just made with. This keeps the ones of the first start beside the state, and
    applies those that are not the same any more to all parameter groups.

    ```yaml
    - class_path: ChangedSettings
    ```
    """

    def __init__(self) -> None:
        self.saved: Settings = []

    def state_dict(self) -> dict[str, Any]:
        return {"settings": self.saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.saved = state_dict["settings"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        made = settings(trainer)
        # Empty in a first start.
        for optimizer, before, now in zip(trainer.optimizers, self.saved, made, strict=False):
            for key, value in now.items():
                if key in before and before[key] != value:
                    for group in optimizer.param_groups:
                        group[key] = value
        self.saved = made
