"""What a resumed run may change: how and where it goes on, not what is trained on what.

A checkpoint restores the step, the order of the data and the optimizers' state, all of which are
of the settings that it was trained with. With another split, training images become validation's;
with another seed or batch, the epoch that was cut off is finished on other rows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info

from datamodules.loading.loader import data_rank
from recipes.parts.checkpoints import can_resume
from recipes.parts.keys import OURS, is_place
from recipes.running.limits import refuse_too_short

# How fast, and with how many processes: `SameBatch` looks at their batch.
HOW = (
    *("data.batch_size", "data.environments", "data.num_workers", "data.cache_dir"),
    *("data.memory", "data.predict"),
    *("model.teacher_cache", "model.shard_teacher", "model.penalty_method", "model.target"),
)
SPLITS = (  # which rows are for what
    *("data.split", "data.split_seed", "data.val_size", "data.test_size"),
    *("data.folds", "data.fold", "data.repeat", "data.stratify", "data.group", "data.time"),
    "data.split_column",
)


def plain(value: Any) -> Any:  # noqa: ANN401 - plain values
    """A setting as it is compared: tuples as lists, this project's classes by their short names."""
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.rpartition(".")[2] if str(value).startswith(OURS) else value


def is_free(key: str, old: Any, new: Any) -> bool:  # noqa: ANN401 - plain values
    """Whether a setting may change in a run that goes on.

    Args:
        key: `dotted`
        old: value that it was trained with
        new: value that it would go on with
    """
    section, _, name = key.partition(".")
    if key in HOW or is_place(key):
        return True
    if is_of_groups(key):  # the optimizer's state is of the old ones
        return False
    if section == "data":  # a file may have moved
        is_file = name in ("path", "val_path", "test_path")
        return is_file and Path(str(old)).name == Path(str(new)).name
    if section == "model" and not name.endswith("class_path"):
        # The callback ChangedSettings gives an optimizer its new ones; a teacher may have moved.
        of_optimizer = name.partition(".")[0].endswith("optimizer")
        is_file = name.endswith(("checkpoint", "teacher_weights"))
        return of_optimizer or is_file or float in (type(old), type(new))
    return section not in ("model", "seed_everything")


def changes(saved: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that differ, `dotted`: the value before and the one now.

    One that only either has is none, as it may be new in the code; a class is, and so is one of
    parameter groups, where it is not null.

    Args:
        saved: what was trained
        now: what is asked for
    """
    keys = [k for k in now if k in saved]
    keys += [k for k in now.keys() ^ saved.keys() if is_class(k) or is_of_groups(k)]
    pairs = {key: (saved.get(key), now.get(key)) for key in keys}
    return {key: (old, new) for key, (old, new) in pairs.items() if plain(old) != plain(new)}


def is_of_groups(key: str) -> bool:
    """Whether a setting, `dotted`, is one of parameter groups."""
    return key.startswith("model.groups")


def is_class(key: str) -> bool:
    """Whether a setting, `dotted`, is a class."""
    return key.endswith(".class_path")


def option(key: str, value: Any) -> str:  # noqa: ANN401 - plain values
    """A setting as a flag; a class by its short name."""
    if is_class(key):
        key, value = key.removesuffix(".class_path"), value and value.rpartition(".")[2]
    return f"--{key}={'null' if value is None else value}"


def check_resumed(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Refuses what would make a resumed run another one.

    Args:
        saved: what the checkpoint and its run say of the settings, `dotted`
        now: those of this command, `dotted`

    Returns:
        what is changed all the same, in words

    Raises:
        ValueError: naming the option, and the value that the run was trained with
    """
    found = changes(saved, now)
    # A class before its arguments, which follow from it.
    for key in sorted(found, key=lambda key: not is_class(key)):
        old, new = found[key]
        if not is_free(key, old, new):
            before = option(key, old).partition("=")[2]
            raise ValueError(
                f"{option(key, new)}, but the run was trained with {before}: resume with that, or "
                "train anew without --ckpt_path"
            )
    shown = {key: values for key, values in found.items() if not is_place(key)}
    return [
        f"{option(key, new).removeprefix('--')} (was {option(key, old).partition('=')[2]})"
        for key, (old, new) in shown.items()
    ]


def check_checkpoint(path: str | None, subcommand: str, command: Sequence[str]) -> None:
    """Refuses a checkpoint that is not asked for, lacks, or is not enough for what is to be done.

    Args:
        path: the resolved --ckpt_path
        subcommand: fit, validate, test or predict
        command: the arguments, as typed

    Raises:
        ValueError: with the way on
    """
    if path and not any("--ckpt_path" in flag for flag in command):
        raise ValueError("ckpt_path in a config: give --ckpt_path on the command line")
    if subcommand != "fit" and not path:
        raise ValueError(f"{subcommand} needs the --ckpt_path of what has been trained")
    if subcommand == "fit" and path and not can_resume(path):
        raise ValueError(
            f"--ckpt_path={path} has the weights alone, without the optimizer's state: it can be "
            "tested, but not trained on"
        )


def check_evaluated(saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses to validate or test on rows of the same data that a run was trained on.

    Args:
        saved: what the checkpoint says of the settings, `dotted`
        now: those of this command, `dotted`

    Raises:
        ValueError: naming the option
    """
    found = changes(saved, now)
    if "data.class_path" in found or "data.path" in found:
        return
    for key in SPLITS:
        if key in found:
            old, new = found[key]
            raise ValueError(
                f"{option(key, new)}, but the run was trained with {old}: it has seen examples "
                "that are for evaluation here"
            )


class SameBatch(Callback):
    """Refuses to resume a run with another batch than it was trained with.

    The batch is that of all processes together, and of all batches that one step accumulates: it
    may be shared out among another number of processes.
    """

    def __init__(self) -> None:
        self.saved: dict[str, Any] = {}
        self.now: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        return self.now

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.saved = state_dict

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        size, processes = getattr(trainer.datamodule, "batch_size", None), data_rank(trainer)[1]
        rows = size * processes if isinstance(size, int) else size
        self.now = {"rows": rows, "accumulated": trainer.accumulate_grad_batches}
        before, self.saved = self.saved, {}
        if (was := before.get("rows", rows)) != rows:
            raise ValueError(
                f"--data.batch_size={size} on {processes} processes is a batch of {rows}, but the "
                f"run was trained with {was}"
            )
        if (was := before.get("accumulated", self.now["accumulated"])) != self.now["accumulated"]:
            raise ValueError(
                f"--trainer.accumulate_grad_batches={self.now['accumulated']}, but the run was "
                f"trained with {was}"
            )


class Remaining(Callback):
    """Says where a resumed run has nothing left to train, and refuses less than it has trained.

    Lightning ends such a run at once, as if it had been trained. A least number of steps that the
    epochs do not have is refused too.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        refuse_too_short(trainer)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
        begun = {"max_epochs": epochs["ready"], "max_steps": checkpoint["global_step"]}
        for name, trained in begun.items():
            asked = getattr(trainer, name)
            if asked in (None, -1) or asked > trained:
                continue
            if asked < trained:
                raise ValueError(
                    f"--trainer.{name}={asked}, but the run has trained {trained}: give more"
                )
            if name == "max_steps" or epochs["processed"] == trained:
                rank_zero_info(
                    f"note: nothing is left to train after --trainer.{name}={trained}: give more, "
                    f"such as {2 * trained}"
                )
