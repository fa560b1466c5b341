"""A short hash of what a run was trained on, or a file was made of."""

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

if TYPE_CHECKING:  # half a second
    from pandas import DataFrame


def digest(values: Iterable[object]) -> str:
    """A short hash of plain values."""
    content = hashlib.sha256()
    for value in values:
        content.update(json.dumps(value).encode() + b"\n")
    return content.hexdigest()[:16]


def digest_rows(inputs: "DataFrame", targets: Tensor, trained: Tensor) -> str:
    """A short hash of a table's rows, in their order, and of which are trained on.

    Args:
        inputs: columns of numbers and of categories, (rows, columns)
        targets: (rows, ...)
        trained: numbers of rows, (any,) int64
    """
    content = hashlib.sha256()
    for place in range(inputs.shape[1]):  # one at a time: they may be long
        column = inputs.iloc[:, place]
        content.update(json.dumps(str(column.name)).encode())
        if column.dtype.kind == "f":
            values = column.to_numpy(np.float64, copy=True) + 0.0  # 0 for -0
            values[np.isnan(values)] = np.nan  # of which there are many
            content.update(values)
        else:
            content.update(json.dumps(column.astype(str).tolist()).encode())
    content.update(targets.contiguous().numpy())
    content.update(trained.contiguous().numpy())
    return content.hexdigest()[:16]
