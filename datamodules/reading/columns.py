"""The columns of a file that are inputs and target, by name or place."""

import re
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor

from datamodules.reading.sheets import Sheet, read_parquet, read_text


def find(column: int | str, names: list[str], option: str) -> int:
    """The place of a column, from 0, that is given by its name or place; negative from the end.

    Raises:
        ValueError: if there is none, or several of that name
    """
    if names.count(str(column)) > 1:
        raise ValueError(f"{option}={column}: there are {names.count(str(column))} of that name")
    if str(column) in names:
        return names.index(str(column))
    if re.fullmatch(r"-?[0-9]+", str(column)) and -len(names) <= int(column) < len(names):
        return int(column) % len(names)
    close = get_close_matches(str(column), names, n=1)
    hint = f"is it {close[0]}?" if close else f"there are {len(names)}: {', '.join(names)}"
    raise ValueError(f"{option}={column}: no such column; {hint}")


def choose(target: int | str, columns: list[int | str] | None, sheet: Sheet) -> list[int]:
    """The places of the input columns, then that of the target; arguments as `read_columns`."""
    for column in (target, *(columns or ())):
        if column in sheet.index:
            option = "target" if column == target else "columns"
            said = f"--data.{option}={column}: the index of pandas, no column"
            raise ValueError(f"{said}; reset_index() makes it one")
    names, last = sheet.names, find(target, sheet.names, "--data.target")
    if columns is None:
        first = sheet.labels() if last else 0
        inputs = [place for place in range(first, len(names)) if place != last]
    else:
        inputs = [find(column, names, "--data.columns") for column in columns]
    if not inputs or last in inputs:
        fault = "has the target among them" if inputs else "leaves no inputs"
        raise ValueError(f"--data.columns={columns} {fault}, beside --data.target={target}")
    return [*inputs, last]


def read_columns(
    path: Path,
    target: int | str,
    columns: list[int | str] | None = None,
    header: bool | None = None,
) -> tuple[list[str], Tensor]:
    """Reads the inputs and the target of a .csv, .tsv, .parquet, .pq or whitespace file.

    Args:
        path: of the file
        target: name or place of the target column
        columns: names or places of the inputs, by default all others but the rows' labels
        header: whether the first row of a text file is names; by default it is if it has no number

    Returns:
        the columns' names, inputs first, and their values (rows, columns), float64

    Raises:
        FileNotFoundError: if there is no such file
        ValueError: if it is damaged, or a column does not exist or has a value that is no number
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    parquet = path.suffix.lower() in (".parquet", ".pq")
    sheet = read_parquet(path) if parquet else read_text(path, header)
    used = choose(target, columns, sheet)
    if not len(sheet.numbers(used[-1])):
        raise ValueError(f"{path} has no rows below its names")
    values = torch.tensor([sheet.numbers(column) for column in used], dtype=torch.float64)
    return [sheet.names[column] for column in used], values.T.contiguous()
