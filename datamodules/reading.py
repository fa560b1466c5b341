"""Numbers from CSV, whitespace and Parquet files; what is missing or no number is named."""

import csv
import math
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
Cells = list[tuple[int, list[str]]]


def number(cell: str) -> float | None:
    """The cell as a number, None if it is none."""
    try:
        return float(cell)
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
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no text file of numbers: {error}") from error
    if not rows:
        raise ValueError(f"{path} is empty")
    for line, row in rows:
        if len(row) != len(rows[0][1]):
            raise ValueError(f"{path}, line {line}: {len(row)} columns, not {len(rows[0][1])}")
    return rows


def split_header(path: Path, rows: Cells) -> tuple[list[str], Cells]:
    """The columns' names, and the rows without them.

    The first row is a header if none of its cells is a number. Without a header, and where a name
    is empty, columns are called by their number, from 0.

    Raises:
        ValueError: if the first row has numbers and words, so that it may be either
    """
    first = rows[0][1]
    words = [cell for cell in first if cell.lower() not in MISSING and number(cell) is None]
    numbers = [cell for cell in first if number(cell) is not None]
    if words and numbers:
        raise ValueError(
            f"{path}, line {rows[0][0]}: neither names nor numbers: {words[0]!r}, {numbers[0]!r}"
        )
    header = first if words else [""] * len(first)
    return [name or str(place) for place, name in enumerate(header)], rows[bool(words) :]


def find(column: int | str, names: list[str], option: str) -> int:
    """The place of a column, from 0, that is given by its name or place; negative from the end.

    Raises:
        ValueError: if there is none, or several of that name
    """
    if names.count(str(column)) > 1:
        raise ValueError(f"{option}={column}: there are {names.count(str(column))} of that name")
    if column in names:
        return names.index(column)
    if str(column).lstrip("-").isdigit() and -len(names) <= int(column) < len(names):
        return int(column) % len(names)
    close = get_close_matches(str(column), names, n=1)
    hint = f"is it {close[0]}?" if close else f"there are {len(names)}: {', '.join(names)}"
    raise ValueError(f"{option}={column}: no such column; {hint}")


def to_numbers(column: str, cells: list[tuple[int, str]], unit: str) -> list[float]:
    """A column's cells as numbers.

    Args:
        column: its file and name, for the message
        cells: the number of each cell's line or row, and the cell
        unit: "line" or "row"

    Raises:
        ValueError: if one is missing, not finite or no number; it names the column and the line
    """
    values = []
    for line, cell in cells:
        value = number(cell)
        if value is None or not math.isfinite(value):
            missing = cell.lower() in MISSING
            what = "a value is missing" if missing else f"{cell!r} is no finite number"
            raise ValueError(f"{column}, {unit} {line}: {what}")
        values.append(value)
    return values


def read_columns(
    path: Path, target: int | str, columns: list[int | str] | None = None
) -> tuple[list[str], Tensor]:
    """Reads the inputs and the target of a .csv, .tsv, .parquet or whitespace file.

    Args:
        path: of the file
        target: name or place of the target column
        columns: names or places of the inputs, by default all others

    Returns:
        the columns' names, inputs first, and their values (rows, columns), float64

    Raises:
        FileNotFoundError: if there is no such file
        ValueError: if it is damaged, or a column does not exist or has a value that is no number
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if parquet := path.suffix.lower() in (".parquet", ".pq"):
        table = read_parquet(path)
        names = table.column_names
    else:
        names, rows = split_header(path, read_cells(path))
    last = find(target, names, "--data.target")
    if columns is None:
        used = [place for place in range(len(names)) if place != last]
    else:
        used = [find(column, names, "--data.columns") for column in columns]
    if last in used or not used:
        raise ValueError(
            f"--data.columns={columns}: without {names[last]}, the target, and not none"
        )
    values = []
    for place in [*used, last]:
        if parquet:
            column = ["" if cell is None else str(cell) for cell in table.column(place).to_pylist()]
            cells = list(enumerate(column))
        else:
            cells = [(line, row[place]) for line, row in rows]
        values.append(
            to_numbers(f"{path}, column {names[place]}", cells, "row" if parquet else "line")
        )
    return [names[place] for place in [*used, last]], torch.tensor(values, dtype=torch.float64).T


def read_parquet(path: Path) -> "pyarrow.Table":  # noqa: F821 - an optional dependency
    """A Parquet file's table.

    Raises:
        ValueError: if pyarrow is not installed, or the file is damaged
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ValueError(
            f"{path}: Parquet needs pip install 'lightning-recipes[parquet]'"
        ) from error
    try:
        return parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged or no Parquet file: {error}") from error
