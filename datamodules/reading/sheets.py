"""Opens a table: a CSV, whitespace or Parquet file, by its name."""

from itertools import islice
from pathlib import Path

from datamodules.reading.parquet import ParquetSheet
from datamodules.reading.table import Sheet
from datamodules.reading.text import BLANKS, Dialect, Text
from datamodules.reading.text_sheet import TextSheet, has_header

PARQUET = (".parquet", ".pq")


def read_text(path: Path, header: bool | None, dialect: Dialect | None = None) -> TextSheet:
    """A text file's columns.

    Without a header, and where a name is empty, columns are called by their number, from 0.

    Args:
        path: of the file
        header: whether the first row is names; by default it is if none of its cells is a number
        dialect: how the file is written

    Raises:
        ValueError: if it is no text, is empty, or its first rows are not equally long
    """
    dialect = dialect or Dialect()
    text = Text(path, dialect)
    with text.opened() as file:
        first = list(islice(text.records(file), 2))
    if not first:
        raise ValueError(f"{path} is empty")
    if text.separator == BLANKS and any(len(row) == 1 and "," in row[0] for _, row in first):
        way_on = "call it .csv, or say --data.separator=,"
        raise ValueError(f"{path} is separated by commas, not blanks: {way_on}")
    if len(first[0][1]) != len(first[-1][1]):
        text.check()
    header = has_header(path, first[0], dialect.format) if header is None else header
    return TextSheet(text, header, first[0][1], dialect.format)


def read_sheet(path: Path, header: bool | None = None, dialect: Dialect | None = None) -> Sheet:
    """A .parquet or .pq file's columns, or those of a text file.

    Args:
        path: of the file
        header: of a text file, see `read_text`
        dialect: how a text file is written

    Raises:
        FileNotFoundError: if there is no such file
        ValueError: if it is damaged
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix.lower() in PARQUET:
        return ParquetSheet(path, (dialect or Dialect()).format)
    return read_text(path, header, dialect)
