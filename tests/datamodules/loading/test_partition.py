"""Which rows are for what: scikit-learn's indices are the golden values."""

import numpy as np
import pandas
import pytest
import torch
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    StratifiedKFold,
    train_test_split,
)

import own_tables
from datamodules import Tabular

ROWS = 120


@pytest.fixture
def path(tmp_path):
    """Rows of three unequal classes, thirty groups, and times out of order."""
    rows = np.arange(ROWS)
    frame = pandas.DataFrame({"x": rows, "who": [f"p{row % 30}" for row in rows]})
    frame["when"] = pandas.Timestamp("2024-05-01") + pandas.to_timedelta(rows * 37 % 120, "D")
    frame["part"] = np.where(rows % 10 < 6, "train", np.where(rows % 10 < 8, "VALID", "test"))
    frame["label"] = np.array(["a", "a", "a", "b", "b", "c"])[rows % 6]
    frame.assign(y=rows * 1.5).to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


NUMBER = {"target": "y", "columns": ["x"]}
LABEL = {"target": "label", "columns": ["x"]}


def parts(path, **arguments):
    """Row numbers of train, val and test, as the loaders' rows tell them."""
    data = Tabular(str(path), standardize=False, **arguments)
    found = data.splits(data.split)
    rows = [part.inputs[:, 0].long().tolist() for part in (found.train, found.val, found.test)]
    if not data.files:
        assert sorted(row for part in rows for row in part) == list(range(ROWS))
        assert [part.tolist() for part in data.rows_of(data.split)] == rows
    return rows


@pytest.mark.parametrize("split", [0, 5])
def test_classes_are_shared_out(path, split):
    labels = pandas.read_csv(path).label
    every = np.arange(ROWS)
    rest, test = train_test_split(every, test_size=24, stratify=labels, random_state=split)
    rest = np.sort(rest)
    train, val = train_test_split(rest, test_size=19, stratify=labels[rest], random_state=split)
    expected = [np.sort(part).tolist() for part in (train, val, test)]
    assert parts(path, split=split, **LABEL) == expected
    assert labels[test].value_counts().to_dict() == {"a": 12, "b": 8, "c": 4}
    assert parts(path, split=split, stratify=False, **LABEL) == parts(path, split=split, **NUMBER)


def test_groups_stay_together(path):
    groups = pandas.read_csv(path).who
    train, val, test = parts(path, split=2, group="who", **NUMBER)
    splitter = GroupShuffleSplit(1, test_size=6, random_state=2)
    rest, golden = next(splitter.split(groups, groups=groups))
    assert test == golden.tolist() and len(test) == 24
    splitter = GroupShuffleSplit(1, test_size=5, random_state=2)
    _, golden = next(splitter.split(rest, groups=groups[rest]))
    assert val == rest[golden].tolist()
    whose = [set(groups[part]) for part in (train, val, test)]
    assert not whose[0] & whose[1] and not whose[2] & (whose[0] | whose[1])


def test_the_last_rows_are_for_testing(path):
    when = pandas.to_datetime(pandas.read_csv(path).when)
    train, val, test = parts(path, time="when", **NUMBER)
    assert (len(train), len(val), len(test)) == (77, 19, 24)
    assert when[train].max() < when[val].min() and when[val].max() < when[test].min()
    assert test == sorted(test)
    by_number = parts(path, time="x", target="y", columns=["x"])
    assert by_number == [list(range(77)), list(range(77, 96)), list(range(96, 120))]


def test_a_column_says_it(path):
    rows = np.arange(ROWS)
    train, val, test = parts(path, split_column="part", **NUMBER)
    assert train == rows[rows % 10 < 6].tolist() and test == rows[rows % 10 >= 8].tolist()
    frame = pandas.read_csv(path)
    frame.replace({"part": {"VALID": "Train"}}).to_csv(path, index=False)
    train, val, same = parts(path, split_column="part", val_size=0.25, **NUMBER)
    assert same == test and len(val) == 24
    frame.replace({"part": {"VALID": "other"}}).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"column part, line 8: 'other' is none of train, val"):
        parts(path, split_column="part", **NUMBER)


@pytest.mark.parametrize("fold", [0, 3])
@pytest.mark.parametrize("repeat", [0, 2])
def test_folds(path, fold, repeat):
    frame, given = pandas.read_csv(path), {"folds": 4, "fold": fold, "repeat": repeat}
    kwargs = {"shuffle": True, "random_state": repeat}
    for arguments, splitter, golden in (
        (NUMBER, KFold(4, **kwargs), (frame,)),
        (LABEL, StratifiedKFold(4, **kwargs), (frame, frame.label)),
        ({**NUMBER, "group": "who"}, GroupKFold(4, **kwargs), (frame, None, frame.who)),
    ):
        train, val, test = parts(path, **given, **arguments)
        rest, expected = list(splitter.split(*golden))[fold]
        assert test == expected.tolist() and sorted(train + val) == rest.tolist()
        assert abs(len(val) - 0.2 * len(rest)) < 2
        if "group" in arguments:
            assert not set(frame.who[train]) & set(frame.who[val])


def test_other_files(path, tmp_path):
    frame = pandas.read_csv(path)
    frame.iloc[:30].to_csv(tmp_path / "train.csv", index=False)
    frame.iloc[30:50, ::-1].to_csv(tmp_path / "val.csv", index=False, sep=";")
    frame.iloc[50:].to_csv(tmp_path / "test.csv", index=False)
    files = {part: str(tmp_path / f"{part}.csv") for part in ("val", "test")}
    given = {f"{part}_path": file for part, file in files.items()}
    for arguments in (NUMBER, {**LABEL, "stratify": True}):
        train, val, test = parts(tmp_path / "train.csv", **given, **arguments)
        assert [train, val, test] == [list(range(30)), list(range(30, 50)), list(range(50, 120))]
    one = parts(tmp_path / "train.csv", test_path=files["test"], **NUMBER)
    assert [len(part) for part in one] == [24, 6, 70]
    data = Tabular(str(tmp_path / "train.csv"), **given, id="who", **NUMBER)
    data.setup("fit")
    state = data.state_dict()
    batch = next(iter(data.predict_dataloader()))
    assert data.identifiers(batch[2][:2]) == ["p20", "p21"]
    (tmp_path / "train.csv").unlink()
    for stage, loader in (("test", "test_dataloader"), ("validate", "val_dataloader")):
        alone = Tabular(str(tmp_path / "train.csv"), **given, **NUMBER)
        alone.setup(stage)
        alone.load_state_dict(state)
        found, golden = (next(iter(getattr(each, loader)())) for each in (alone, data))
        assert torch.equal(found[0], golden[0]) and torch.equal(found[1], golden[1])
    frame.assign(label="new").to_csv(tmp_path / "val.csv", index=False)
    frame.to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(
        ValueError, match=r"val.csv, column label, line 2: 'new' is no class of the"
    ):
        parts(tmp_path / "train.csv", val_path=files["val"], **LABEL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": "who", "time": "when"}, r"--data.group=who excludes --data.time=when"),
        ({"folds": 3, "time": "when"}, r"--data.folds=3 excludes --data.time=when"),
        ({"folds": 3, "test_path": "a.csv"}, r"--data.folds=3 excludes --data.test_path=a.csv"),
        ({"stratify": True}, r"--data.stratify=true: the target is a number"),
        ({"group": "whom"}, r"--data.group=whom: no such column; is it who\?"),
        ({"time": "label"}, r"column label, line 2: 'a' is no date; see --data.date_format"),
        ({"test_size": 0.01, "group": "who"}, r"--data.test_size=0.01 of 30 groups is 0 of them"),
        ({"target": "label", "test_size": 0.01}, r"--data.test_size=0.01: .*--data.stratify=false"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(path, arguments, message):
    with pytest.raises(ValueError, match=message):
        parts(path, **{**NUMBER, **arguments})


def said(caplog, path, **arguments):
    """The lines about a table, once however often it is set up."""
    caplog.clear()
    with caplog.at_level("INFO", "lightning.pytorch.utilities.rank_zero"):
        data = Tabular(str(path), **arguments)
        data.setup("fit")
        data.setup("test")
    return [record.message for record in caplog.records]


def test_repeated_groups_are_told(tmp_path, caplog):
    path = own_tables.diabetes(tmp_path)
    plain = {"target": "progression", "missing": "mean"}
    for arguments in ({"ignore": ["patient"]}, {"id": "patient"}):
        (line,) = said(caplog, path, **arguments, **plain)
        assert line.startswith("warning: ") and "share their patient with training rows" in line
        assert line.endswith("--data.group=patient keeps each in one part")
    assert not said(caplog, path, group="patient", **plain)
    data = Tabular(str(path), id="patient", **plain)
    train, val, test = data.rows_of(0)
    who = pandas.read_csv(path).patient
    shared = who[[*val.tolist(), *test.tolist()]].isin(who[train.numpy()]).sum()
    assert f"warning: {shared} of {len(val) + len(test)} rows" in line


def test_constant_columns_and_copies_of_the_target_are_told(tmp_path, caplog):
    frame = pandas.DataFrame({"x": range(100), "one": 1.0, "y": [row % 2 for row in range(100)]})
    frame["word"] = frame.y.map({0: "no", 1: "yes"})
    frame.assign(copy=frame.y, same=frame.word).to_csv(tmp_path / "rows.csv", index=False)
    path = tmp_path / "rows.csv"
    constant = "warning: column one is constant in the training rows"
    copied = "warning: column copy equals the target y: --data.ignore=[copy]?"
    assert said(caplog, path, target="y", ignore=["word", "same"]) == [constant, copied]
    found = said(caplog, path, target="y", ignore=["word", "same"], class_target=True)
    assert found == [constant, copied]
    (line,) = said(caplog, path, target="word", ignore=["one", "y"])
    assert line == "warning: column same equals the target word: --data.ignore=[same]?"
