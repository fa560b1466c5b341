"""Which rows are for what: by chance, by class, by group, by time, or as a column says."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datamodules.loading.folds import fold_rows
from datamodules.loading.splits import held_rows, hold_out

PARTS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2}
Parts = tuple[Tensor, Tensor, Tensor]


def check_ways(folds: int | None, test_path: str | None, **columns: int | str | None) -> None:
    """Refuses two ways at once to say which rows are for what.

    Args:
        folds: of a cross-validation
        test_path: a file of rows for testing
        columns: that say it, by option

    Raises:
        ValueError: naming both options
    """
    given = [f"--data.{name}={column}" for name, column in columns.items() if column is not None]
    if folds is not None:
        by_place = [option for option in given if not option.startswith("--data.group")]
        test = [f"--data.test_path={test_path}"] if test_path else []
        given = [f"--data.folds={folds}", *by_place, *test]
    if len(given) > 1:
        raise ValueError(f"{given[0]} excludes {given[1]}: each says which rows are for what")


@dataclass(frozen=True)
class Partition:
    """Shares rows out among train, val and test.

    Args:
        rows: how many there are
        val_size: share of the rows that are not for testing that is for validation
        test_size: share of all rows that is for testing
        strata: class of each row, (rows,): each part has each class's share of rows
        groups: number of each row's group, (rows,): no group is in two parts; sizes are shares of
            groups
        times: of each row, (rows,), whatever can be sorted: the last rows are for testing, those
            before them for validation
        parts: 0, 1 or 2 of each row, for train, val and test, (rows,)
    """

    rows: int
    val_size: float
    test_size: float
    strata: Tensor | None = None
    groups: Tensor | None = None
    times: np.ndarray | None = None
    parts: Tensor | None = None

    def split(self, number: int) -> Parts:
        """Row numbers for train, val and test, of a random split's number."""
        every = torch.arange(self.rows)
        if self.parts is not None:
            train, val, test = ((self.parts == part).nonzero()[:, 0] for part in range(3))
            if not len(val):
                train, val = self.hold_out(train, self.val_size, "--data.val_size", number, 2)
            return train, val, test
        rest, test = self.hold_out(every, self.test_size, "--data.test_size", number, 1)
        train, val = self.hold_out(rest, self.val_size, "--data.val_size", number, 2)
        return train, val, test

    def fold(self, folds: int, fold: int, number: int) -> Parts:
        """The same for one of several folds, which is for testing.

        Args:
            folds: how many there are
            fold: which one
            number: of the random cutting
        """
        rest, test = fold_rows(self.rows, folds, fold, number, self.strata, self.groups)
        train, val = self.hold_out(rest, self.val_size, "--data.val_size", number, 2, fold)
        return train, val, test

    def hold_out(
        self, rows: Tensor, share: float, option: str, number: int, *key: int
    ) -> tuple[Tensor, Tensor]:
        """The rows that stay and those held out, both ascending.

        By groups it is `GroupShuffleSplit`, by classes `train_test_split`, both with `random_state`
        the split's number; by chance alone `hold_out`.

        Args:
            rows: row numbers, ascending
            share: of them, 0 <= share < 1
            option: that the share was given by
            number: of the split
            key: what else the choice by chance is a function of

        Raises:
            ValueError: if there are too few rows, groups, or rows of a class
        """
        if not share:
            return rows, rows[:0]
        if self.times is not None:
            order = np.argsort(self.times[rows.numpy()], kind="stable")
            held = held_rows(len(rows), share, option)
            rest, later = order[:-held], order[-held:]
        elif self.groups is not None:
            rest, later = by_group(self.groups[rows], share, option, number)
        elif self.strata is not None:
            rest, later = by_class(self.strata[rows], share, option, number)
        else:
            return hold_out(rows, share, option, number, *key)
        return tuple(rows[torch.from_numpy(part).sort().values] for part in (rest, later))


def by_group(
    groups: Tensor, share: float, option: str, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Places of those that stay and those held out: whole groups, a share of their number."""
    from sklearn.model_selection import GroupShuffleSplit  # a third of a second

    held = held_rows(len(groups.unique()), share, option, "groups")
    splitter = GroupShuffleSplit(1, test_size=held, random_state=number)
    return next(splitter.split(groups, groups=groups.numpy()))


def by_class(
    strata: Tensor, share: float, option: str, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Places of those that stay and those held out: the same share of each class."""
    from sklearn.model_selection import train_test_split  # a third of a second

    held = held_rows(len(strata), share, option)
    counts = strata.unique(return_counts=True)[1]
    if counts.min() < 2 or min(held, len(strata) - held) < len(counts):
        raise ValueError(
            f"{option}={share}: a class has {counts.min()} of {len(strata)} rows, too few for a "
            "share in each part; --data.stratify=false does without"
        )
    return train_test_split(
        np.arange(len(strata)), test_size=held, stratify=strata.numpy(), random_state=number
    )
