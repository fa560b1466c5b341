"""CSV, whitespace and Parquet files as columns of text; what is no number is named."""

import csv
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
UNNAMED = re.compile(r"|Unnamed: \d+")  # as pandas calls what had no name
Cells = list[tuple[int, list[str]]]


def number(cell: str) -> float | None:
    """The cell as a number, None if it is none.

    As files have it, not as Python's source: 2021_01 is a name, and so are digits of other scripts.
    """
    try:
        return float(cell) if "_" not in cell and cell.isascii() else None
    except ValueError:
        return None


def read_cells(path: Path) -> Cells:
    """The rows of a text file that are not blank, with their lines' numbers.

    A .csv or .tsv file is separated by the commas, semicolons or tabs, whichever its first line has
    most of; any other file by whitespace.

    Raises:
        ValueError: if it is no text, is empty, or its rows are not equally long
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in (".csv", ".tsv"):
                first = file.readline()
                file.seek(0)
                reader = csv.reader(file, delimiter=max(",;\t", key=first.count), strict=True)
                rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
            else:
                rows = [(line, row.split()) for line, row in enumerate(file, 1) if row.strip()]
                if any(len(row) == 1 and "," in row[0] for _, row in rows):
                    raise ValueError(f"{path} is separated by commas, not blanks: call it .csv")
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no text file of numbers: {error}") from error
    if not rows:
        raise ValueError(f"{path} is empty")
    for line, row in rows:
        if len(row) != len(rows[0][1]):
            raise ValueError(f"{path}, line {line}: {len(row)} columns, not {len(rows[0][1])}")
    return rows


def has_header(path: Path, rows: Cells) -> bool:
    """Whether the first row is names: none of its cells is a number.

    Raises:
        ValueError: if it may be either: it has numbers and words, or counts from 0, as the names do
            that pandas gives to columns without
    """
    line, first = rows[0]
    words = [cell for cell in first if cell.lower() not in MISSING and number(cell) is None]
    numbers = [cell for cell in first if number(cell) is not None]
    either = f"{path}, line {line}: neither names nor numbers"
    if words and numbers:
        raise ValueError(f"{either}: {words[0]!r}, {numbers[0]!r}; say --data.header=true or false")
    if len(numbers) > 1 and numbers == [str(place) for place in range(len(numbers))]:
        raise ValueError(f"{either}: it counts from 0; say --data.header=true or false")
    return bool(words)


def split_header(path: Path, rows: Cells, header: bool | None) -> tuple[list[str], Cells]:
    """The columns' names, and the rows without them.

    Without a header, and where a name is empty, columns are called by their number, from 0.

    Args:
        path: of the file, for messages
        rows: from `read_cells`
        header: whether the first row is names; not given, it is seen by `has_header`
    """
    header = has_header(path, rows) if header is None else header
    names = rows[0][1] if header else [""] * len(rows[0][1])
    return [name or str(place) for place, name in enumerate(names)], rows[header:]


@dataclass
class Sheet:
    """The columns of a file, as text.

    Args:
        path: of the file
        names: of the columns
        unit: what `places` counts, "line" or "row"
        places: where in the file each value of a column is
        cells: from a column's place in `names` to its values
        header: the columns' names as the file has them; empty if it has none
        index: names of what is no column at all, but pandas' labels of the rows
    """

    path: Path
    names: list[str]
    unit: str
    places: Sequence[int]
    cells: Callable[[int], list[str]]
    header: Sequence[str] = ()
    index: Sequence[str] = ()

    def labels(self) -> int:
        """How many of the first columns say only which row each is: without a name, as R writes it.

        Raises:
            ValueError: if one has no name, but its numbers may be measured
        """
        count = 0
        while count < len(self.header) - 1 and UNNAMED.fullmatch(self.header[count]):
            values = [number(cell) for cell in self.cells(count)]
            words = all(value is None for value in values)
            whole = all(value is not None and value.is_integer() for value in values)
            if not words and not (whole and len(set(values)) == len(values)):
                raise ValueError(
                    f"{self.path}: column {count} has no name, and its numbers do not tell the "
                    "rows apart: name it, or say which columns are inputs with --data.columns"
                )
            count += 1
        return count

    def numbers(self, column: int) -> list[float]:
        """A column as numbers.

        Raises:
            ValueError: if one is missing, not finite or no number; it names the column and the line
        """
        values = [number(cell) for cell in self.cells(column)]
        for place, value in enumerate(values):
            if value is None or not math.isfinite(value):
                cell = self.cells(column)[place]
                missing = cell.lower() in MISSING
                what = "a value is missing" if missing else f"{cell!r} is no finite number"
                where = f"column {self.names[column]}, {self.unit} {self.places[place]}"
                raise ValueError(f"{self.path}, {where}: {what}")
        return values


def read_text(path: Path, header: bool | None) -> Sheet:
    """A text file's columns; see `read_cells` and `split_header` for what it may look like."""
    every = read_cells(path)
    names, rows = split_header(path, every, header)
    places = [line for line, _ in rows]
    first = every[0][1] if len(rows) < len(every) else ()

    def cells(column: int) -> list[str]:
        return [row[column] for _, row in rows]

    return Sheet(path, names, "line", places, cells, first)


def read_parquet(path: Path) -> Sheet:
    """A Parquet file's columns.

    Raises:
        ValueError: if pyarrow is not installed, or the file is damaged
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        extra = "pip install -e '.[parquet]'"
        raise ValueError(f"{path}: Parquet needs {extra}") from error
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged or no Parquet file: {error}") from error
    stored = (table.schema.pandas_metadata or {}).get("index_columns", [])
    # A range is only described.
    index = [label.get("name") if isinstance(label, dict) else label for label in stored]
    table = table.drop_columns([name for name in index if name in table.column_names])

    def cells(column: int) -> list[str]:
        return ["" if cell is None else str(cell) for cell in table.column(column).to_pylist()]

    names = table.column_names
    return Sheet(path, names, "row", range(table.num_rows), cells, names, index)
