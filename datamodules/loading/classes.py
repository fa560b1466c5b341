"""Class numbers: what is none is refused where it is read, while its place is known."""

from collections.abc import Callable

from torch import Tensor

from datamodules.loading.missing import is_known


def check_classes(labels: Tensor, count: int | None, place: Callable[[int], str]) -> None:
    """Refuses labels that are no class numbers: a loss would leave out -100, and crash at others.

    Args:
        labels: (rows,), integers; those that a datamodule has marked as missing are left alone
        count: of classes; None: not known, so that only negative labels are none
        place: says of a label's number where it was read

    Raises:
        ValueError: with the first label that is none, and its place
    """
    wrong = labels < 0 if count is None else (labels < 0) | (labels >= count)
    wrong &= is_known(labels)
    if wrong.any():
        row = int(wrong.int().argmax())
        there = "" if count is None else f": there are {count}, 0 to {count - 1}"
        raise ValueError(f"{place(row)}: label {int(labels[row])} is no class{there}")
