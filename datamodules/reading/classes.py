"""Class numbers: what is none is refused where it is read, while its place is known."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Classes(NamedTuple):
    """The classes that labels must be of: 0 to count - 1."""

    count: int
    option: str  # that says so, such as --model.network.outputs=10

    def check_room(self, there: int, data: str) -> None:
        """Raises ValueError if `data`, an option's text, have more classes: `there` of them."""
        if self.count < there:
            raise ValueError(f"{self.option}: {data} has {there} classes")


def check_type(labels: Tensor) -> None:
    """Raises ValueError if labels are not of the type of class numbers, int64."""
    if labels.dtype != torch.int64:
        raise ValueError(f"--data: labels of {labels.dtype} are no class numbers, which are int64")


def check_class_numbers(
    labels: Tensor, classes: Classes | None, place: Callable[[int], str]
) -> None:
    """Refuses labels that are no class numbers.

    Torch's own loss leaves -100 out in silence, and what follows would count it as an error.

    Args:
        labels: (rows,), without those that a datamodule has marked as missing
        classes: None: not known, so that only negative labels are wrong
        place: says of a label's number where it was read

    Raises:
        ValueError: if they are no int64; or with the first label that is wrong, and its place
    """
    check_type(labels)
    wrong = labels < 0 if classes is None else (labels < 0) | (labels >= classes.count)
    if wrong.any():
        row = int(wrong.int().argmax())
        known = f": {classes.option} has 0 to {classes.count - 1}" if classes else ""
        raise ValueError(f"{place(row)}: label {int(labels[row])} is no class{known}")
