"""What a study would get wrong in silence is refused, in one line, before the first step."""

import json
from collections.abc import Mapping

from lightning.pytorch import Trainer
from torch import Tensor

from callbacks import Compile, LossDrivenLR, LRDecay
from recipes.regress.checks import alike


def check_epochs(trainer: Trainer, rounds: int, halves: bool) -> None:
    """Refuses a run of no known length where members change on the way.

    Args:
        trainer: of the fit
        rounds: of the search
        halves: whether trials are dropped

    Raises:
        ValueError: with the option to change
    """
    epochs = trainer.max_epochs
    bounded = epochs is not None and epochs > 0
    if rounds > 1 and (not bounded or epochs % rounds):
        raise ValueError(f"--trainer.max_epochs={epochs} is not {rounds} rounds of equal length")
    if halves and not bounded:
        raise ValueError(f"--trainer.max_epochs={epochs}: halving needs to know the run's length")


def check_definition(own: Mapping[str, object], saved: Mapping[str, object]) -> None:
    """Refuses to go on with, or to evaluate, a study by the definition of another one.

    Args:
        own: hyperparameters of this one
        saved: those in the checkpoint

    Raises:
        ValueError: with the first option that differs; the target alone may
    """
    for name in own.keys() & saved.keys() - {"target"}:
        one, other = (json.dumps(v[name], sort_keys=True, default=str) for v in (own, saved))
        if not name.startswith("_") and one != other:
            raise ValueError(f"--model.{name} differs from that of the study in the checkpoint")


def check_length(epochs: float, saved: int) -> None:
    """Refuses to go on with halving or rounds in a run of another length, which decides them.

    Args:
        epochs: of each round in this run
        saved: in the checkpoint's

    Raises:
        ValueError: if they differ
    """
    if epochs != saved:
        raise ValueError(
            "--trainer.max_epochs differs from that of the study in the checkpoint, whose halving "
            "and rounds it decides"
        )


def check_trainer(trainer: Trainer, halves: bool, epochs: int, schedules: bool) -> None:
    """Refuses options under which members would not be what they are alone.

    Args:
        trainer: about to fit
        halves: whether trials are dropped
        epochs: of each of several rounds, 0 if there is one
        schedules: whether the members have schedules of their own

    Raises:
        ValueError: with the option to change
    """
    if "16" in trainer.precision and not trainer.precision.startswith("bf16"):
        raise ValueError(
            f"--trainer.precision={trainer.precision}: one member's overflow would skip the "
            "step of all; bf16-mixed has none"
        )
    if any(isinstance(callback, Compile) for callback in trainer.callbacks):
        raise ValueError("--trainer.callbacks: Compile does not reach the members of a study")
    if trainer.world_size > 1 and (halves or epochs):
        raise ValueError("halving and rounds change the members: --trainer.devices=1")
    every = trainer.check_val_every_n_epoch
    if halves and every != 1:
        raise ValueError("halving looks at each epoch: --trainer.check_val_every_n_epoch=1")
    if epochs and every and epochs % every:
        raise ValueError(
            f"--trainer.check_val_every_n_epoch={every}: a round of {epochs} epochs would not end "
            "with a look at its members"
        )
    decays = [c for c in trainer.callbacks if isinstance(c, (LRDecay, LossDrivenLR))]
    if decays and schedules:
        name = type(decays[0]).__name__
        raise ValueError(f"--model.schedules and the callback {name} would both set the rates")
    if epochs and decays:
        raise ValueError(
            "--trainer.callbacks: a schedule over all rounds would give each another part of it; "
            "--model.schedules starts anew with each"
        )


def check_target(target: float | None, metric: str, validates: bool) -> None:
    """Refuses a target of a metric that is not evaluated.

    Args:
        target: that the members are to reach
        metric: that it is a value of
        validates: whether there are rows for validation

    Raises:
        ValueError: with both options
    """
    if target is not None and metric != "loss" and not validates:
        raise ValueError(
            f"--model.target={target:g} is of val/{metric}, and there is no validation: "
            "--data.val_size, or --model.metric=loss"
        )


def check_scale(scale: Tensor, trained: Tensor | None) -> None:
    """Refuses data that are standardised otherwise than those that the members were trained on.

    Args:
        scale: mean and standard deviation of the target of each of the data's streams, (streams, 2)
        trained: the same of the fit, None if this is it
    """
    if trained is not None and not alike(scale.T.tolist(), trained.T.tolist()):
        raise ValueError(
            "--data has another training target than the study was trained on: give it the file, "
            "columns and sizes of the fit, and --model.splits and --model.seeds"
        )
