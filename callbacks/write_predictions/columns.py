"""From the tensors of a batch to the cells of a table, with the names that the data give."""

from collections.abc import Sequence

import torch
from torch import Tensor

from datamodules.loading.missing import is_known

Cells = list[float | str]
NUMBERS = ("target", "prediction", "label")  # which are class numbers where they are whole


def columns(name: str, values: Tensor, classes: Sequence[str] = ()) -> dict[str, Cells]:
    """The columns of a table that a tensor becomes.

    Args:
        name: of the tensor; `target` and `target_<name>` may be missing, which leaves a cell empty
        values: (rows,) for one column; (rows, n) for n columns, numbered, or of `probability`
            named by their classes
        classes: the names of the classes, if the data have any
    """
    if values.ndim > 1:
        labels = classes if name == "probability" else ()
        parts = enumerate(values.unbind(1))
        return {f"{name}_{label(number, labels)}": part.tolist() for number, part in parts}
    cells = values.tolist()
    if name in NUMBERS and classes and values.dtype == torch.int64:
        cells = [label(number, classes) for number in cells]
    if is_target(name):
        pairs = zip(cells, is_known(values).tolist(), strict=True)
        cells = [cell if is_there else "" for cell, is_there in pairs]
    return {name: cells}


def label(number: int, names: Sequence[str]) -> str:
    """The name of a class, or its number where it has none."""
    return names[number] if 0 <= number < len(names) else str(number)


def is_target(column: str) -> bool:
    """Whether a column holds targets."""
    return column == "target" or column.startswith("target_")
