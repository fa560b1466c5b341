"""What of a table and its split may mislead, in one line each."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

if TYPE_CHECKING:  # half a second
    from pandas import DataFrame

GROUPS = "id group patient subject person user customer client household family session".split()
FEWEST_GROUPS = 10  # with fewer it is a category, such as the arm of a trial


def names_groups(column: str) -> bool:
    """Whether a column's name says that it tells whose a row is."""
    last = column.lower().replace("-", "_").replace(" ", "_").rsplit("_", 1)[-1]
    return last in GROUPS or column.endswith(("Id", "ID"))


def constant(columns: "DataFrame", train: Tensor) -> Iterator[str]:
    """Names columns that have one value in all training rows.

    Args:
        columns: of inputs, all rows
        train: numbers of the training rows
    """
    for name, values in columns.iloc[train.numpy()].items():
        if (values == values.iloc[0]).all():
            yield f"column {name} is constant in the training rows"


def same_as_target(
    columns: "DataFrame", targets: Tensor, names: list[str], class_names: list[str] | None
) -> Iterator[str]:
    """Names columns that equal a target.

    Args:
        columns: of inputs, all rows
        targets: (rows,) or (rows, targets), or class numbers
        names: of the targets
        class_names: of the classes
    """
    for number, name in enumerate(names):
        target = targets.reshape(len(targets), -1)[:, number].numpy()
        labels = target
        if class_names is not None:
            labels = np.array([*class_names, ""], dtype=object)[np.where(target < 0, -1, target)]
            target = as_numbers(class_names)[target] if target.min() >= 0 else target
        for column, values in columns.items():
            if np.array_equal(values.to_numpy(), target if values.dtype.kind == "f" else labels):
                yield f"column {column} equals the target {name}: --data.ignore=[{column}]?"


def as_numbers(words: list[str]) -> np.ndarray:
    """Words as numbers, NaN for those that are none."""
    try:
        return np.array(words, dtype=np.float64)
    except ValueError:
        return np.full(len(words), np.nan)


def repeated(groups: Mapping[str, np.ndarray], train: Tensor) -> Iterator[str]:
    """Names groups of which a random split has rows in several parts.

    Args:
        groups: whose each row is, (rows,), by the column's name
        train: numbers of the training rows
    """
    for name, values in groups.items():
        values = values.astype(str)
        rest = np.delete(values, train.numpy())
        distinct = np.unique(values)
        if not FEWEST_GROUPS <= len(distinct) < len(values):
            continue
        if count := int(np.isin(rest, values[train.numpy()]).sum()):
            yield (
                f"{count} of {len(rest)} rows for validation and testing share their {name} with "
                f"training rows: --data.group={name} keeps each in one part"
            )
