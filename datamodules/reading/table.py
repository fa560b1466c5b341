"""A table in a file: its columns' names, its rows in chunks, and where in the file a row is."""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datamodules.reading.cells import HOW_NUMBERS, OTHER_NUMBER, Format, is_missing, mapped

if TYPE_CHECKING:  # half a second
    from pandas import DataFrame, Series

UNNAMED = re.compile(r"|Unnamed: \d+")  # as pandas calls what had no name


@dataclass
class Sheet(ABC):
    """The columns of a file.

    Args:
        path: of the file
        names: of the columns
        unit: what a row's place in the file is counted in, "line" or "row"
        header: the columns' names as the file has them; empty if it has none
        index: names of what is no column at all, but pandas' labels of the rows
        format: how numbers and dates are written
    """

    path: Path
    names: list[str]
    unit: str
    header: Sequence[str] = ()
    index: Sequence[str] = ()
    format: Format = field(default_factory=Format)

    @abstractmethod
    def frames(
        self, columns: Sequence[int], texts: Collection[int] = (), rows: int | None = None
    ) -> Iterator["DataFrame"]:
        """The rows of the file, in order, in frames whose columns are called by their places.

        Args:
            columns: places of those that are read
            texts: places of those whose cells stay as they are written
            rows: in a frame; by default all
        """

    @abstractmethod
    def row(self, number: int) -> tuple[int, list[str]]:
        """Where a row is in the file, in `unit`, and its cells; for messages, as it takes long."""

    def frame(self, columns: Sequence[int], texts: Collection[int] = ()) -> "DataFrame":
        """All rows; see `frames`."""
        (frame,) = self.frames(columns, texts)
        return frame

    def fault(self, column: int, row: int, what: str = "") -> ValueError:
        """What to raise about a cell.

        Args:
            column: its place
            row: its number
            what: is wrong; by default that it is missing or no number
        """
        place, cells = self.row(row)
        if not what:
            cell = cells[column]
            missing = is_missing(cell)
            what = "a value is missing" if missing else f"{cell!r} is no finite number"
            what += f"; {HOW_NUMBERS}" if not missing and OTHER_NUMBER.fullmatch(cell) else ""
        where = f"column {self.names[column]}, {self.unit} {place}"
        return ValueError(f"{self.path}, {where}: {what}")

    def numbers(self, column: int, values: "Series", first: int = 0) -> np.ndarray:
        """A column as numbers, (rows,), float64; NaN where a value is missing.

        Args:
            column: its place
            values: from a frame
            first: number of the frame's first row

        Raises:
            ValueError: if one is not finite or no number; it names the column and the line
        """
        if values.dtype.kind in "iuf":
            numbers = values.to_numpy(np.float64, na_value=np.nan)
            fine = ~np.isinf(numbers)
        else:
            found = mapped(values, lambda text: self.format.number(text) if text else np.nan)
            numbers = np.array(found, dtype=np.float64)  # None becomes NaN
            fine = ~np.isinf(numbers) & np.array([value is not None for value in found], bool)
        if not fine.all():
            raise self.fault(column, first + int(fine.argmin()))
        return numbers

    def labels(self) -> int:
        """How many of the first columns say only which row each is: without a name, as R writes it.

        Raises:
            ValueError: if one has no name, but its numbers may be measured
        """
        count = 0
        while count < len(self.header) - 1 and UNNAMED.fullmatch(self.header[count]):
            found = mapped(self.frame([count])[count], self.format.number)
            words = all(value is None for value in found)
            whole = all(value is not None and value.is_integer() for value in found)
            if not words and not (whole and len(set(found)) == len(found)):
                raise ValueError(
                    f"{self.path}: column {count} has no name, and its numbers do not tell the "
                    "rows apart: name it, or say which columns are inputs with --data.columns"
                )
            count += 1
        return count
