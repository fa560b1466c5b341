"""Numbers of the Trainer that would be ignored, or do something other than they say.

Lightning refuses some of them, later and without the option; others train on nothing, never
validate, or count backwards, and exit with 0.
"""

import math
from collections.abc import Callable, Iterable
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, Union, get_args, get_origin

from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder, Timer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

ENDLESS = "1 or more, or -1 for no limit"
SHARE = "a whole number of batches, or a share of them between 0 and 1"


def is_endless_or_positive(value: float) -> bool:
    """Whether a number of epochs or steps is one that a run can have."""
    return value == -1 or value >= 1


def is_share_or_count(value: float) -> bool:
    """Whether a value is a number of batches, or a share of them; of none is neither."""
    return 0 < value <= 1 or (value > 1 and value % 1 == 0)


def is_none_or_share(value: float) -> bool:
    """The same, where none is a choice: no validation, no overfitting."""
    return value == 0 or is_share_or_count(value)


def at_least(least: int) -> Callable[[float], bool]:
    """Whether a number is that of whole things, and there are enough of them."""
    return lambda value: value >= least and value % 1 == 0


# Option of the Trainer to what its numbers must be, as a function and in words.
LIMITS: dict[str, tuple[Callable[[float], bool], str]] = {
    "max_epochs": (is_endless_or_positive, ENDLESS),
    "max_steps": (is_endless_or_positive, ENDLESS),
    "min_epochs": (at_least(0), "0 or more"),
    "min_steps": (at_least(0), "0 or more"),
    "limit_train_batches": (is_none_or_share, SHARE),
    "limit_val_batches": (is_none_or_share, f"{SHARE}; 0: no validation"),
    "limit_test_batches": (is_none_or_share, SHARE),
    "limit_predict_batches": (is_none_or_share, SHARE),
    "overfit_batches": (is_none_or_share, f"{SHARE}; 0: all"),
    "val_check_interval": (is_share_or_count, SHARE),
    "check_val_every_n_epoch": (at_least(1), "1 or more epochs, or null"),
    "num_sanity_val_steps": (at_least(-1), "0 or more batches, or -1 for all"),
    "log_every_n_steps": (at_least(0), "1 or more, or 0 for no logs of steps"),
    "accumulate_grad_batches": (at_least(1), "1 or more batches"),
    "gradient_clip_val": (lambda value: value >= 0, "above 0, or 0 for no clipping"),
    "reload_dataloaders_every_n_epochs": (at_least(0), "0 or more"),
    "fast_dev_run": (at_least(0), "true, false or a number of batches"),
    "num_nodes": (at_least(1), "1 or more machines"),
}
# What a command does nothing without.
NEEDED = {
    "fit": "limit_train_batches",
    "validate": "limit_val_batches",
    "test": "limit_test_batches",
    "predict": "limit_predict_batches",
}


def whole_first(function: Callable[..., Any]) -> None:
    """Lets `1` mean one batch, and not all, whatever has been imported before.

    Of `int | float` and `float | int`, which are equal, Python's typing keeps the one that it was
    asked for first, and the command line takes the first that fits: `1` became 1.0, a share.

    Args:
        function: whose annotations are put in order, in place, int before float
    """
    for name, hint in function.__annotations__.items():
        kinds = list(get_args(hint))
        if get_origin(hint) not in (Union, UnionType) or not {int, float} <= set(kinds):
            continue
        one, other = sorted((kinds.index(int), kinds.index(float)))
        kinds[one], kinds[other] = int, float
        function.__annotations__[name] = reduce(or_, kinds)


def refuse_meaningless(trainer: Namespace, subcommand: str) -> None:
    """Refuses settings of the Trainer that mean nothing, each by itself and beside the others.

    Args:
        trainer: its settings
        subcommand: fit, validate, test or predict

    Raises:
        ValueError: naming the option and what it takes
    """
    for name, (is_allowed, words) in LIMITS.items():
        value = trainer.get(name)
        # A time or a mapping, which some take too, is Lightning's to look at; so are true and null.
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not is_allowed(value):
                raise ValueError(f"--trainer.{name}={value} must be {words}")
    needed = NEEDED[subcommand]
    if trainer.get(needed) == 0:
        raise ValueError(f"--trainer.{needed}={trainer[needed]}: {subcommand} has nothing to do")
    _refuse_ignored(trainer)
    _refuse_shards(trainer)


def _refuse_ignored(trainer: Namespace) -> None:
    """Refuses what another setting makes meaningless."""
    for unit in ("epochs", "steps"):
        least, most = trainer.get(f"min_{unit}"), trainer.get(f"max_{unit}")
        if least and most and 0 < most < least:
            options = f"--trainer.min_{unit}={least}, --trainer.max_{unit}={most}"
            raise ValueError(f"{options}: the run would end before its least length")
    if trainer.gradient_clip_algorithm and not trainer.gradient_clip_val:
        option = f"--trainer.gradient_clip_algorithm={trainer.gradient_clip_algorithm}"
        raise ValueError(f"{option} clips nothing without --trainer.gradient_clip_val")
    if _seconds(trainer.max_time) == 0:
        raise ValueError(f"--trainer.max_time={trainer.max_time}: the run would end at once")
    root = str(trainer.default_root_dir or "")
    if "://" in root:
        raise ValueError(
            f"--trainer.default_root_dir={root}: runs are folders of this machine, or of a disk "
            "that it mounts"
        )


def refuse_too_short(trainer: Trainer) -> None:
    """Refuses more steps at least than a run of so many epochs has.

    Args:
        trainer: that begins to fit

    Raises:
        ValueError: naming both
    """
    steps = trainer.min_steps and trainer.estimated_stepping_batches
    if steps and steps < trainer.min_steps:
        raise ValueError(
            f"--trainer.min_steps={trainer.min_steps}, but --trainer.max_epochs="
            f"{trainer.max_epochs} is {steps} steps: the run would end before its least length"
        )


def _refuse_shards(trainer: Namespace) -> None:
    """Refuses to shard over another number of processes than there are."""
    sizes = getattr(trainer.strategy, "init_args", None) or Namespace()
    names = ("data_parallel_size", "tensor_parallel_size")
    shards, devices = [sizes.get(name) for name in names], str(trainer.devices)
    if not all(isinstance(size, int) for size in shards) or not devices.isdecimal():
        return
    if math.prod(shards) != int(devices) * trainer.num_nodes:
        said = " times ".join(
            f"--trainer.strategy.{name}={size}" for name, size in zip(names, shards, strict=True)
        )
        raise ValueError(
            f"{said} must be the number of processes: --trainer.devices={devices}, "
            f"--trainer.num_nodes={trainer.num_nodes}"
        )


def _seconds(time: Any) -> float | None:  # noqa: ANN401 - what a Timer takes
    """The length of a time limit; None without one."""
    try:
        return None if time is None else Timer(time).time_remaining()
    except (MisconfigurationException, TypeError) as error:
        words = "days, hours, minutes and seconds, such as 00:01:30:00"
        raise ValueError(f"--trainer.max_time={time}: {words}") from error


def refuse_finders(callbacks: Iterable[Callback], module: LightningModule) -> None:
    """Refuses callbacks of Lightning that would choose settings, which the run's config then lacks.

    Raises:
        ValueError: with what chooses them here
    """
    for callback in callbacks:
        name = type(callback).__name__
        if isinstance(callback, BatchSizeFinder):
            raise ValueError(
                f"--trainer.callbacks={name} would change --data.batch_size behind the config's "
                "back: give the largest that fits"
            )
        if isinstance(callback, LearningRateFinder) and not hasattr(module, "lr"):
            raise ValueError(
                f"--trainer.callbacks={name} sets an lr of the module, which it does not have: "
                "recipes.tune searches --model.optimizer.lr"
            )
