"""Which rows are for testing in a cross-validation: scikit-learn's folds."""

from typing import Any

import torch
from torch import Tensor


def check_fold(folds: int | None, fold: int, repeat: int) -> None:
    """Refuses a fold that there is not.

    Args:
        folds: parts that the rows are cut into; None: there is no cross-validation
        fold: number of the part that is for testing
        repeat: number of the cutting

    Raises:
        ValueError: with the option to change
    """
    if folds is None:
        if given := f"--data.fold={fold}" if fold else f"--data.repeat={repeat}" if repeat else "":
            raise ValueError(f"{given} needs --data.folds, such as --data.folds=5")
    elif folds < 2:
        raise ValueError(f"--data.folds={folds}: 2 or more")
    elif fold >= folds:
        raise ValueError(f"--data.fold={fold}: --data.folds={folds} has 0 to {folds - 1}")


def fold_rows(
    rows: int,
    folds: int,
    fold: int,
    random_state: int,
    strata: Tensor | None = None,
    groups: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The rows that stay and those of one fold, both ascending: scikit-learn's, shuffled.

    They are the fold-th pair of `KFold(folds, shuffle=True, random_state=random_state)`; with
    strata of `StratifiedKFold`, with groups of `GroupKFold`, with both of `StratifiedGroupKFold`.

    Args:
        rows: how many there are
        folds: parts that they are cut into, from 2
        fold: number of the part that is held out, from 0 to below folds
        random_state: of the cutting; the datamodules' is --data.split + --data.repeat
        strata: class of each row, (rows,), int64: each fold has each class's share of rows
        groups: group of each row, (rows,), int64: no group is in two folds

    Raises:
        ValueError: if there are fewer rows, rows of each class, or groups, than folds
    """
    from sklearn import model_selection  # a third of a second

    if folds > rows:
        raise ValueError(f"--data.folds={folds} of {rows} rows: too few rows")
    if strata is not None:
        count = strata.unique(return_counts=True)[1].min()
        if count < folds:
            raise ValueError(
                f"--data.folds={folds}: a class has {count} of {rows} rows, fewer than folds; "
                "--data.stratify=false does without"
            )
    if groups is not None and (count := len(groups.unique())) < folds:
        raise ValueError(f"--data.folds={folds} of {count} groups: too few groups")
    name = f"{'Stratified' * (strata is not None)}{'Group' * (groups is not None)}KFold"
    splitter: Any = getattr(model_selection, name)(folds, shuffle=True, random_state=random_state)
    data = (torch.zeros(rows).numpy(), *(v if v is None else v.numpy() for v in (strata, groups)))
    rest, held = list(splitter.split(*data))[fold]
    return torch.from_numpy(rest), torch.from_numpy(held)
