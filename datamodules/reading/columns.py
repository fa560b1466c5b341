"""The columns of a file that are inputs and target, by name or place."""

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.reading.sheets import read_sheet
from datamodules.reading.table import Sheet


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


Column = int | str  # by its place, from 0 or negative from the end, or its name


def choose(
    target: Column | Sequence[Column],
    columns: Sequence[Column] | None,
    sheet: Sheet,
    left_out: Collection[int] = (),
) -> tuple[list[int], list[int]]:
    """The places of the input columns and those of the targets.

    Args:
        target: the target column, or several
        columns: the inputs, by default all others but the rows' labels and those `left_out`
        sheet: that they are in
        left_out: places of columns that are no inputs unless they are named
    """
    wanted = list(target) if isinstance(target, Sequence) and target != str(target) else [target]
    for option, column in [
        *(("target", c) for c in wanted),
        *(("columns", c) for c in columns or ()),
    ]:
        if column in sheet.index:
            said = f"--data.{option}={column}: the index of pandas, no column"
            raise ValueError(f"{said}; reset_index() makes it one")
    targets = [find(column, sheet.names, "--data.target") for column in wanted]
    if columns is None:
        first = sheet.labels() if min(targets, default=1) else 0
        if first:
            said = ", ".join(sheet.header[place] or str(place) for place in range(first))
            rank_zero_info(f"note: {sheet.path}: column {said} only labels the rows: no input")
        others = {*targets, *left_out}
        inputs = [place for place in range(first, len(sheet.names)) if place not in others]
    else:
        inputs = [find(column, sheet.names, "--data.columns") for column in columns]
    if not inputs or set(inputs) & set(targets):
        fault = "has the target among them" if inputs else "leaves no inputs"
        raise ValueError(f"--data.columns={columns} {fault}, beside --data.target={target}")
    return inputs, targets


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
    sheet = read_sheet(path, header)
    inputs, targets = choose(target, columns, sheet)
    used = inputs + targets
    frame = sheet.frame(used)
    values = np.stack([sheet.numbers(column, frame[column]) for column in used], 1)
    if (missing := np.isnan(values)).any():
        column = int(missing.any(0).argmax())
        raise sheet.fault(used[column], int(missing[:, column].argmax()))
    return [sheet.names[column] for column in used], torch.from_numpy(values)
