"""The files that a study leaves in its run's folder, besides tables and picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from recipes.parts.files import replacing
from recipes.study.record import Record
from recipes.study.selection import Choice
from recipes.study.table import Row


def member_rows(records: Sequence[Record]) -> list[Row]:
    """Every member's settings and latest values."""
    rows = []
    for number, record in enumerate(records):
        trained = torch.stack(record.series["train/loss"]).isfinite().sum(0).tolist()
        epochs, diverged = [0.0, *record.epochs], record.diverged.int().tolist()
        latest = {name: series[-1].tolist() for name, series in record.series.items()}
        for i, member in enumerate(record.members):
            row: Row = {"round": number, "member": i, **vars(member.trial)}
            row |= {"split": member.split, "seed": member.seed}
            row |= {"diverged": diverged[i], "epochs": epochs[trained[i]]}
            rows.append(row | {name: values[i] for name, values in latest.items()})
    return rows


def chosen_rows(choices: Sequence[Choice]) -> list[Row]:
    """The settings that were chosen, which the search `Chosen` reads, and their scores."""
    return [
        {**vars(c.trial), "split": "" if c.split is None else c.split, "score": c.score}
        for c in choices
    ]


def write_history(path: Path, records: Sequence[Record]) -> None:
    """Writes all rows of all rounds as arrays, to history.npz.

    Args:
        path: of the file
        records: all rounds; `<round>/<series>` is (rows, members), `<round>/epochs` (rows,)
    """
    arrays = {
        f"{number}/{name}": torch.stack(values).numpy()
        for number, record in enumerate(records)
        for name, values in record.series.items()
    }
    arrays |= {f"{n}/epochs": np.array(record.epochs) for n, record in enumerate(records)}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
