"""A short hash of what a run was trained on, or a file was made of."""

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:  # half a second
    from pandas import DataFrame


def digest(values: Iterable[object]) -> str:
    """A short hash of plain values."""
    content = hashlib.sha256()
    for value in values:
        content.update(json.dumps(value).encode() + b"\n")
    return content.hexdigest()[:16]


def digest_rows(inputs: "DataFrame", targets: Tensor, rows: Tensor) -> str:
    """A short hash of some rows of a table, in their order.

    Args:
        inputs: columns of numbers and words, (all, columns)
        targets: (all, ...)
        rows: their numbers, (rows,)
    """
    from pandas.util import hash_array

    content = hashlib.sha256(json.dumps([str(name) for name in inputs.columns]).encode())
    for place in range(inputs.shape[1]):
        column = inputs.iloc[:, place].to_numpy()[rows.numpy()]  # one at a time: they may be many
        content.update(hash_array(column))
    content.update(targets[rows].numpy())
    return content.hexdigest()[:16]
