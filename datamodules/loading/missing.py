"""Targets that are not known: how a datamodule marks them, and how others tell them."""

from collections.abc import Callable

import torch
from torch import Tensor

from datamodules.reading.classes import Classes, check_class_numbers

# A class number that no file can hold: whatever does not look for it fails, and trains on nothing.
MISSING = torch.iinfo(torch.int64).min


def is_known(targets: Tensor) -> Tensor:
    """Which targets are known: numbers that are not NaN, class numbers that are not `MISSING`.

    Args:
        targets: (batch,)

    Returns:
        (batch,), bool
    """
    # As int64, since torch would round MISSING to the type of the labels: a byte of 0 equals it.
    return ~targets.isnan() if targets.is_floating_point() else targets.long() != MISSING


def check_known(labels: Tensor, classes: Classes | None, place: Callable[[int], str]) -> None:
    """Refuses labels that are no class numbers; those that are marked as missing are left alone.

    Args:
        labels: (rows,)
        classes: as in `check_class_numbers`
        place: as in `check_class_numbers`

    Raises:
        ValueError: from `check_class_numbers`
    """
    rows = is_known(labels).nonzero().flatten()
    check_class_numbers(labels[rows], classes, lambda row: place(int(rows[row])))
