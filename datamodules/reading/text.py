"""CSV and whitespace files, plain or compressed by gzip."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

from datamodules.reading.cells import Format

SEPARATORS = ",;\t|"
BLANKS = r"\s+"
ENCODING = "say --data.encoding, such as latin-1 or cp1252"
COMMENTS = "#%!"  # what a first line that is no row may begin with
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

    Raises:
        ValueError: if the separator or comment is not one character, or there is no such encoding
    """

    separator: str | None = None
    comment: str | None = None
    encoding: str | None = None
    format: Format = field(default_factory=Format)

    def __post_init__(self) -> None:
        for name in ("separator", "comment"):
            if (value := getattr(self, name)) is not None and len(value) != 1:
                raise ValueError(f"--data.{name}={value}: give one character")
        try:
            "".encode(self.encoding or "utf-8")
        except LookupError as error:
            raise ValueError(f"--data.encoding={self.encoding}: {error}") from error


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
        hint: the way on where it is no text in the dialect's encoding

    Raises:
        ValueError: if it is no text in the dialect's encoding, or empty
    """

    def __init__(self, path: Path, dialect: Dialect, hint: str = ENCODING) -> None:
        self.path, self.comment, self.hint = path, dialect.comment, hint
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
        except UnicodeError as error:
            raise ValueError(f"{self.path} is no text file: {error}; {self.hint}") from error
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
                    said = f"{self.path}, line {line}: {len(row)} columns, not {len(first)}"
                    mark = first[0][:1]
                    hint = f"; --data.comment={mark} leaves out the first, and others like it"
                    raise ValueError(said + (hint if mark and mark in COMMENTS else ""))
