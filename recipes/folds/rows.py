"""Which rows each fold tests, and their predictions as one table."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule

import datamodules  # noqa: F401 - imported classes are known to the parser
from recipes.parts.configs import read_config
from recipes.parts.files import replacing
from recipes.running.recipe import find_recipe
from recipes.seeds.wanted import Wanted

ROW, FOLD, REPEAT = "row", "fold", "repeat"


@dataclass(frozen=True)
class Fold:
    """A run, and the rows that it is tested on.

    Attributes:
        run: of this fold
        fold: its number
        repeat: of the cutting
        tested: numbers of the rows in the data, in the order of its predictions
        rest: how many rows it was trained and validated on
    """

    run: Wanted
    fold: int
    repeat: int
    tested: np.ndarray
    rest: int

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that two folds of the same rows share."""
        return hashlib.sha256(self.tested.astype("<i8").tobytes()).hexdigest()[:12]


def folds_of(runs: dict[tuple[int, int], Wanted]) -> list[Fold]:
    """What each run is tested on, as its datamodule says.

    Args:
        runs: trained ones, by repeat and fold
    """
    data = data_of(next(iter(runs.values())))
    found = []
    for (repeat, fold), run in runs.items():
        data.repeat, data.fold = repeat, fold
        train, val, test = data.rows_of(data.split)
        found.append(Fold(run, fold, repeat, test.numpy(), len(train) + len(val)))
    return found


def data_of(run: Wanted) -> LightningDataModule:
    """The datamodule of a run, prepared.

    Raises:
        ValueError: if it knows no folds
    """
    find_recipe(run.recipe)  # whose datamodules are known then, too
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    chosen = {"data": read_config(run.folder)["data"]}
    data = parser.instantiate(parser.parse_object(chosen)).data
    if not hasattr(data, "rows_of"):
        raise ValueError(f"--data={type(data).__name__} has no rows to cut into folds")
    data.prepare_data()
    return data


def write_predictions(path: Path, folds: Sequence[Fold]) -> int:
    """Writes each row's prediction by the run that was not trained on it, in the rows' order.

    Args:
        path: of the CSV file: row, fold, of several repeats the repeat, then the columns of each
            run's predictions.csv
        folds: all of them

    Returns:
        how many rows there are

    Raises:
        ValueError: if a run has predicted other rows than its fold's, or a row is missing or twice
    """
    table: dict[tuple[int, int], dict[str, object]] = {}
    for fold in folds:
        source = fold.run.folder / "predictions.csv"
        with source.open(newline="", encoding="utf-8") as file:
            predictions = list(csv.DictReader(file))
        if len(predictions) != len(fold.tested):
            said = f"{len(predictions)} rows, the fold has {len(fold.tested)}"
            raise ValueError(f"{source}: {said}; remove it, and give the same command again")
        for row, prediction in zip(fold.tested.tolist(), predictions, strict=True):
            table[fold.repeat, row] = {**prediction, ROW: row, FOLD: fold.fold}
    repeats = {fold.repeat for fold in folds}
    rows = max(row for _, row in table) + 1
    if len(table) != sum(len(fold.tested) for fold in folds) or len(table) != rows * len(repeats):
        raise ValueError("--data: the folds do not hold each row once")
    first = [ROW, *([REPEAT] if len(repeats) > 1 else []), FOLD]
    names = [name for name in next(iter(table.values())) if name not in (ROW, FOLD)]
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*first, *names], extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**table[key], REPEAT: key[0]} for key in sorted(table))
    return rows
