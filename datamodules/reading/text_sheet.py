"""The columns of CSV and whitespace files, read by pandas."""

import csv
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.reading.cells import MISSING_AS_WRITTEN, Format, is_missing
from datamodules.reading.table import Sheet
from datamodules.reading.text import BLANKS, Record, Text

if TYPE_CHECKING:  # half a second
    from pandas import DataFrame


class TextSheet(Sheet):
    """A text file's columns.

    Args:
        text: the file
        header: whether its first record is the columns' names
        first: that record
        format: of its numbers and dates
    """

    def __init__(self, text: Text, header: bool, first: list[str], format: Format) -> None:
        names = first if header else [""] * len(first)
        names = [name or str(place) for place, name in enumerate(names)]
        super().__init__(text.path, names, "line", first if header else (), (), format)
        self.text, self.is_checked = text, False

    def frames(
        self, columns: Sequence[int], texts: Collection[int] = (), rows: int | None = None
    ) -> Iterator["DataFrame"]:
        import pandas

        with self.text.opened() as file:
            if self.header:
                next(self.text.records(file))
            try:
                read = pandas.read_csv(file, chunksize=rows, **self._options(columns, texts))
                for frame in [read] if rows is None else read:
                    self._check(frame.iloc[:, -1].isna().any())  # as in a shorter row
                    yield frame[list(columns)]
            except pandas.errors.EmptyDataError:
                self._check(True)
                yield pandas.DataFrame({column: [] for column in columns})
            except pandas.errors.ParserError as error:
                self._check(True)
                raise ValueError(f"{self.path} is no text file of a table: {error}") from error

    def _options(self, columns: Sequence[int], texts: Collection[int]) -> dict[str, Any]:
        """Of `pandas.read_csv`."""
        import pandas

        every, is_plain = range(len(self.names)), self.text.separator == BLANKS
        # With `usecols`, pandas would cut longer rows off without a word.
        unread = set(every) - set(columns)
        # From 3.1 on, numbers are always rounded correctly.
        version = tuple(int(part) for part in pandas.__version__.split(".")[:2])
        exact = {} if version >= (3, 1) else {"float_precision": "round_trip"}
        return exact | {
            "sep": self.text.separator,
            "header": None,
            "names": every,
            "dtype": dict.fromkeys([*texts, *unread], str),
            "na_values": MISSING_AS_WRITTEN,
            "keep_default_na": False,
            "skipinitialspace": True,
            "quoting": csv.QUOTE_NONE if is_plain else csv.QUOTE_MINIMAL,
            "decimal": self.format.decimal,
            "low_memory": False,
        }

    def _check(self, is_suspect: bool) -> None:
        if is_suspect and not self.is_checked:
            self.text.check()
            self.is_checked = True

    def row(self, number: int) -> Record:
        with self.text.opened() as file:
            return next(islice(self.text.records(file), number + bool(self.header), None))


def has_header(path: Path, record: Record, format: Format) -> bool:
    """Whether a file's first record is names: none of its cells is a number.

    Raises:
        ValueError: if it may be either: it has numbers and words, or counts from 0, as the names do
            that pandas gives to columns without
    """
    line, first = record
    numbers = [cell for cell in first if format.number(cell) is not None]
    words = [cell for cell in first if not is_missing(cell) and format.number(cell) is None]
    either = f"{path}, line {line}: neither names nor numbers"
    if words and numbers:
        raise ValueError(f"{either}: {words[0]!r}, {numbers[0]!r}; say --data.header=true or false")
    if len(numbers) > 1 and numbers == [str(place) for place in range(len(numbers))]:
        raise ValueError(f"{either}: it counts from 0; say --data.header=true or false")
    return bool(words)
