"""CSV and whitespace files, plain or compressed by gzip."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from datamodules.reading.cells import MISSING_AS_WRITTEN, Format, is_missing
from datamodules.reading.table import Sheet

if TYPE_CHECKING:  # half a second
    from pandas import DataFrame

SEPARATORS = ",;\t|"
BLANKS = r"\s+"
Record = tuple[int, list[str]]  # a line's number and its cells


@dataclass(frozen=True)
class Dialect:
    """How a text file is written.

    Args:
        separator: of cells; not given, in a .csv or .tsv file the comma, semicolon, tab or bar,
            whichever its first line has most of, and in any other file whitespace
        comment: what a line that is no row begins with
        encoding: by default UTF-8, or UTF-16 where the file begins with its mark
        format: of numbers and dates
    """

    separator: str | None = None
    comment: str | None = None
    encoding: str | None = None
    format: Format = field(default_factory=Format)


class Lines(io.TextIOBase):
    """A text whose comments are empty lines, so that lines keep their numbers."""

    def __init__(self, lines: Iterator[str], comment: str) -> None:
        self.lines = (line if not line.startswith(comment) else "\n" for line in lines)

    def readline(self, size: int = -1) -> str:
        return next(self.lines, "")

    def read(self, size: int = -1) -> str:
        return "".join(islice(self.lines, 10_000))


class Text:
    """A text file as records: a line's number and its cells, without blank lines and comments.

    Args:
        path: of the file
        dialect: how it is written

    Raises:
        ValueError: if it is no text in the dialect's encoding, or empty
    """

    def __init__(self, path: Path, dialect: Dialect) -> None:
        self.path, self.comment = path, dialect.comment
        with path.open("rb") as file:
            self.is_zipped = file.read(2) == b"\x1f\x8b"
        kind = Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()
        with self._binary() as file, self.faults():
            marked = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        self.encoding = dialect.encoding or ("utf-16" if marked else "utf-8-sig")
        self.separator = dialect.separator or BLANKS
        if not dialect.separator and kind in (".csv", ".tsv"):
            with self.opened() as file:
                first = next((line for line in file if line.strip()), "")
            unquoted = re.sub('"[^"]*"', "", first)
            candidates = SEPARATORS.replace(dialect.format.decimal, "")
            self.separator = max(candidates, key=unquoted.count)

    def _binary(self) -> io.BufferedIOBase:
        return gzip.open(self.path) if self.is_zipped else self.path.open("rb")

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Says in one line why the file cannot be read."""
        try:
            yield
        except LookupError as error:
            raise ValueError(f"--data.encoding={self.encoding}: {error}") from error
        except UnicodeError as error:
            hint = "say --data.encoding, such as latin-1 or cp1252"
            raise ValueError(f"{self.path} is no text file: {error}; {hint}") from error
        except (csv.Error, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{self.path} is no text file of a table: {error}") from error

    @contextmanager
    def opened(self) -> Iterator[TextIO]:
        """The file, for reading from its beginning."""
        with self.faults(), self._binary() as binary:
            file = io.TextIOWrapper(binary, encoding=self.encoding, newline="")
            yield Lines(file, self.comment) if self.comment else file

    def records(self, file: TextIO) -> Iterator[Record]:
        """What is left of an opened file."""
        if self.separator == BLANKS:
            rows = ((line, row.split()) for line, row in enumerate(file, 1))
        else:
            reader = csv.reader(file, delimiter=self.separator, strict=True)
            rows = ((reader.line_num, [cell.strip() for cell in row]) for row in reader)
        return ((line, cells) for line, cells in rows if cells and cells != [""])

    def check(self) -> None:
        """Refuses rows that are not as long as the first.

        Raises:
            ValueError: with the first line that is not
        """
        with self.opened() as file:
            rows = self.records(file)
            first = next(rows)[1]
            for line, row in rows:
                if len(row) != len(first):
                    raise ValueError(
                        f"{self.path}, line {line}: {len(row)} columns, not {len(first)}"
                    )


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

        every = range(len(self.names))
        with self.text.opened() as file:
            if self.header:
                next(self.text.records(file))
            try:
                read = pandas.read_csv(
                    file,
                    sep=self.text.separator,
                    header=None,
                    names=every,
                    # With `usecols`, pandas would cut longer rows off without a word.
                    dtype=dict.fromkeys([*texts, *set(every) - set(columns)], str),
                    na_values=MISSING_AS_WRITTEN,
                    keep_default_na=False,
                    skipinitialspace=True,
                    quoting=csv.QUOTE_NONE if self.text.separator == BLANKS else csv.QUOTE_MINIMAL,
                    decimal=self.format.decimal,
                    **exact(pandas.__version__),
                    low_memory=False,
                    chunksize=rows,
                )
                for frame in [read] if rows is None else read:
                    self._check(frame[every[-1]].isna().any())  # as in a shorter row
                    yield frame[list(columns)]
            except pandas.errors.EmptyDataError:
                self._check(True)
                yield pandas.DataFrame({column: [] for column in columns})
            except pandas.errors.ParserError as error:
                self._check(True)
                raise ValueError(f"{self.path} is no text file of a table: {error}") from error

    def _check(self, is_suspect: bool) -> None:
        if is_suspect and not self.is_checked:
            self.text.check()
            self.is_checked = True

    def row(self, number: int) -> Record:
        with self.text.opened() as file:
            return next(islice(self.text.records(file), number + bool(self.header), None))


def exact(pandas: str) -> dict[str, str]:
    """The arguments with which a version of pandas rounds numbers correctly, as 3.1 always does."""
    version = tuple(int(part) for part in pandas.split(".")[:2])
    return {} if version >= (3, 1) else {"float_precision": "round_trip"}


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
