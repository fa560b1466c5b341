"""Tables and arrays that are written while they grow, and take no more memory than a batch."""

import csv
import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from callbacks.write_predictions.columns import Cells, is_target
from recipes.parts.files import partial_of, replacing, writing


class TablePart:
    """The rows that one process adds to a table, in a file of its own until all are there.

    Args:
        path: of the table

    Attributes:
        path: of this part
        empty: names of the columns of targets of which none is known so far
    """

    def __init__(self, path: Path) -> None:
        self.table, self.path = path, partial_of(path.with_name(f"{path.name}-rows"))
        self.columns: list[str] = []
        self.empty: set[str] = set()
        with writing(path):
            self.file = self.path.open("w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file)

    def add(self, columns: dict[str, Cells]) -> None:
        """Adds rows; the columns are the same each time."""
        with writing(self.table):
            if not self.columns:
                self.columns = list(columns)
                self.empty = {name for name in columns if is_target(name)}
                self.writer.writerow(columns)
            self.empty -= {name for name in self.empty if any(cell != "" for cell in columns[name])}
            self.writer.writerows(zip(*columns.values(), strict=True))

    def close(self) -> None:
        with writing(self.table):
            self.file.close()

    def remove(self) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)


def join(parts: Sequence[Path], path: Path, names: dict[str, str], order: str | None) -> None:
    """Makes a table of its parts, so that the file is at any time the old one or the new one.

    Args:
        parts: one for each process
        path: of the table
        names: its columns: the name that each has in the parts, to the one that it gets
        order: name of the column by whose whole numbers the rows are ordered, each once; without
            it they stay as they are
    """
    with ExitStack() as stack:
        files = [stack.enter_context(part.open(newline="", encoding="utf-8")) for part in parts]
        readers = [csv.reader(file) for file in files]
        header, *_ = [next(reader) for reader in readers]
        rows = ordered(readers, header.index(order)) if order is not None else readers[0]
        pick = itemgetter(*(header.index(name) for name in names), 0)  # two or more: a tuple
        partial = stack.enter_context(replacing(path))
        file = stack.enter_context(partial.open("w", newline="", encoding="utf-8"))
        writer = csv.writer(file)
        writer.writerow(names.values())
        writer.writerows(pick(row)[:-1] for row in rows)


def ordered(readers: Sequence[Iterator[list[str]]], place: int) -> Iterator[list[str]]:
    """The rows of several tables by the number in one of their columns, each number once."""
    latest = -1
    for row in heapq.merge(*readers, key=lambda row: int(row[place])):
        if (number := int(row[place])) != latest:
            yield row
        latest = number


class ArrayFile:
    """An array that grows along its first dimension, as `numpy.load` reads it.

    Args:
        path: of the file, which must not be there
    """

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self.rows = 0
        self.kind: tuple[torch.Size, torch.dtype] | None = None  # of an example

    def add(self, values: Tensor) -> None:
        """Adds examples, (n, ...).

        Raises:
            ValueError: if they are of another shape or type than the first
        """
        kind = (values.shape[1:], values.dtype)
        if values.dtype == torch.bfloat16:  # which numpy does not have
            values = values.float()
        array = np.ascontiguousarray(values.numpy())
        if self.kind is None:
            self.kind, self.shape, self.dtype = kind, array.shape[1:], array.dtype
            self._write_header()
        if kind != self.kind:
            first, now = (f"{tuple(shape)} of {dtype}" for shape, dtype in (self.kind, kind))
            raise ValueError(f"one array holds equal examples: the first is {first}, another {now}")
        self.rows += len(array)
        self.file.write(array.tobytes())

    def close(self) -> None:
        self.file.seek(0)
        self._write_header()  # numpy leaves room in it for a first dimension that has grown
        self.file.close()

    def _write_header(self) -> None:
        description = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": description, "fortran_order": False, "shape": (self.rows, *self.shape)}
        np.lib.format.write_array_header_1_0(self.file, header)
