"""Which rows are in which fold: scikit-learn's indices are the golden values."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from datamodules.loading.folds import fold_rows

ROWS = 60
STRATA = torch.arange(ROWS) % 7 // 3  # three classes, of unequal size
GROUPS = torch.arange(ROWS) // 4


@pytest.mark.parametrize(
    ("splitter", "labels"),
    [
        (KFold, {}),
        (StratifiedKFold, {"strata": STRATA}),
        (GroupKFold, {"groups": GROUPS}),
        (StratifiedGroupKFold, {"strata": STRATA, "groups": GROUPS}),
    ],
)
@pytest.mark.parametrize("random_state", [0, 5])
def test_folds_are_scikit_learns(splitter, labels, random_state):
    known = splitter(4, shuffle=True, random_state=random_state)
    pairs = known.split(np.zeros(ROWS), *(labels.get(key) for key in ("strata", "groups")))
    for fold, (rest, held) in enumerate(pairs):
        found = fold_rows(ROWS, 4, fold, random_state, **labels)
        assert [rows.tolist() for rows in found] == [rest.tolist(), held.tolist()]


def test_classes_keep_their_shares_and_groups_stay_together():
    held = [fold_rows(ROWS, 4, fold, 0, strata=STRATA)[1] for fold in range(4)]
    counts = torch.stack([STRATA[rows].bincount() for rows in held])
    assert (counts.amax(0) - counts.amin(0)).max() <= 1
    rest, held = fold_rows(ROWS, 4, 1, 0, groups=GROUPS)
    assert not set(GROUPS[rest].tolist()) & set(GROUPS[held].tolist())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, r"--data.folds=61 of 60 rows: too few rows"),
        ({"strata": STRATA}, r"--data.folds=61 of 60 rows: too few rows"),
    ],
)
def test_more_folds_than_rows_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        fold_rows(ROWS, 61, 0, 0, **labels)


def test_more_folds_than_rows_of_a_class_or_groups_are_refused():
    with pytest.raises(ValueError, match=r"--data.folds=9: a class has 8 of 60 rows"):
        fold_rows(ROWS, 9, 0, 0, strata=STRATA)
    with pytest.raises(ValueError, match=r"--data.folds=16 of 15 groups: too few groups"):
        fold_rows(ROWS, 16, 0, 0, groups=GROUPS)
