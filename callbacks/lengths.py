"""Lengths of training in natural units, and how long a run is: both in batches."""

import math
import re

from jsonargparse.typing import NonNegativeInt, PositiveInt, restricted_string_type
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer

LengthInUnits = restricted_string_type(
    "LengthInUnits", r"^\d+(\.\d+)?(ep|ba|%)$", docstring="5ep (epochs), 1000ba (batches) or 10%"
)
Length = NonNegativeInt | LengthInUnits
PositiveLengthInUnits = restricted_string_type(
    "PositiveLengthInUnits",
    r"^(?=.*[1-9])\d+(\.\d+)?(ep|ba|%)$",
    docstring="5ep (epochs), 1000ba (batches) or 10%, above 0",
)
PositiveLength = PositiveInt | PositiveLengthInUnits


def batches(length: Length, trainer: Trainer, whole: int | None = None) -> int:
    """A length in batches, rounded to a whole number.

    Args:
        length: a number of batches, or a string: "1000ba" are batches, "5ep" epochs, and "10%" is
            that share of the whole
        trainer: of a run that has begun, so that it knows its data
        whole: what a percentage is of, in batches, by default the run

    Raises:
        ValueError: if epochs have no length, or nothing says how long the run is
    """
    if isinstance(length, int):
        return length
    number, unit = re.fullmatch(r"([\d.]+)(\D+)", length).groups()
    if unit == "ba":
        return round(float(number))
    if unit == "%":
        whole = run_length(trainer) if whole is None else whole
        return round(float(number) / 100 * whole)
    if trainer.num_training_batches == math.inf:
        raise ValueError(f"{length}: epochs of this data have no length; give batches, 1000ba")
    return round(float(number) * trainer.num_training_batches)


def check_steps(trainer: Trainer, *lengths: object) -> None:
    """To be called at a batch's end, where some of the lengths may be percentages.

    Raises:
        ValueError: if max_steps bounds the run and a batch has several optimizer steps, which
            Lightning counts: then the run ends before its percentages do
    """
    # What is cheap comes first: this is called in every batch.
    if trainer.max_steps == -1 or trainer.global_step <= trainer.fit_loop.total_batch_idx + 1:
        return
    if any(str(length).endswith("%") for length in lengths):
        raise ValueError(
            f"--trainer.max_steps={trainer.max_steps} counts several optimizer steps a batch here: "
            "give lengths in batches, such as 1000ba, or --trainer.max_epochs"
        )


def run_length(trainer: Trainer) -> int:
    """Batches that the run will train on, from `max_epochs` and `max_steps`.

    `max_time` may end it earlier.

    Raises:
        ValueError: if neither bounds the run
    """
    bounds = []
    if trainer.max_epochs is not None and trainer.max_epochs != -1:
        bounds.append(trainer.max_epochs * trainer.num_training_batches)
    if trainer.max_steps != -1:
        accumulated, epoch = trainer.accumulate_grad_batches, trainer.num_training_batches
        if epoch == math.inf:
            bounds.append(trainer.max_steps * accumulated)
        else:  # an epoch's last step accumulates what is left of it
            epochs, steps = divmod(trainer.max_steps, math.ceil(epoch / accumulated))
            bounds.append(epochs * epoch + steps * accumulated)
    if not bounds or min(bounds) == math.inf:
        # Where Trainer keeps max_time.
        if any(isinstance(c, Timer) and c.time_remaining() is not None for c in trainer.callbacks):
            raise ValueError(
                "--trainer.max_time (or a Timer) alone leaves the number of batches open: give "
                "--trainer.max_epochs, --trainer.max_steps or the schedule's length"
            )
        raise ValueError(
            "nothing bounds this run: give --trainer.max_epochs, --trainer.max_steps or the "
            "schedule's length"
        )
    return int(min(bounds))


def known_length(trainer: Trainer) -> int | None:
    """Batches that the run will train on; None if nothing says so, or it is a dry run."""
    try:
        return None if trainer.fast_dev_run else run_length(trainer)
    except ValueError:
        return None
