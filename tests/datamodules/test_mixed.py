"""Categories, dates, holes, classes and new rows of own tables, beside scikit-learn's values."""

import io
from itertools import chain, pairwise
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import own_tables
from datamodules import Tabular
from datamodules.loading.missing import MISSING
from datamodules.reading.digest import digest_rows
from trains import seen_by

NUMBERS = ["age", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
KINDS = {"target": "progression", "id": "patient", "ignore": ["day"]}


def ready(path, **arguments):
    data = Tabular(str(path), **arguments)
    data.setup("fit")
    return data


def kept(data):
    """A datamodule's state as a checkpoint has it."""
    file = io.BytesIO()
    torch.save(data.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def batches(loader):
    return [torch.cat(parts) for parts in zip(*loader, strict=True)]


@pytest.mark.parametrize("missing", ["mean", "median", "most_frequent", "indicator"])
def test_encoding_is_that_of_scikit_learn_on_the_training_rows(tmp_path, missing):
    path = own_tables.diabetes(tmp_path)
    data = ready(path, missing=missing, split=3, **KINDS)
    frame = pandas.read_csv(path)
    train, _, test = data.rows_of(3)
    indicator = missing == "indicator"
    fill = SimpleImputer(strategy="mean" if indicator else missing)
    flags = SimpleImputer(add_indicator=True)
    words = SimpleImputer(
        strategy="most_frequent" if missing == "most_frequent" else "constant",
        fill_value=None if missing == "most_frequent" else "",
    )
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    inputs = make_column_transformer(
        (make_pipeline(fill, StandardScaler()), NUMBERS),
        (make_pipeline(flags) if indicator else "drop", ["bmi", "s3"]),
        (make_pipeline(words, one_hot), ["sex", "region"]),
    ).fit(frame.iloc[train])
    expected = inputs.transform(frame.iloc[test])
    if indicator:  # without the filled numbers, which are there already
        expected = np.delete(expected, [9, 10], axis=1)
    found = data.splits(3).test
    np.testing.assert_allclose(found.inputs, expected, atol=1e-12)
    target = StandardScaler().fit(frame[["progression"]].iloc[train])
    expected = target.transform(frame[["progression"]].iloc[test])[:, 0]
    np.testing.assert_allclose(found.targets, expected, atol=1e-12)
    assert data.numbers == 9 and data.input_shape == (found.inputs.shape[1],)
    regions = [] if missing == "most_frequent" else ["region=missing"]
    regions += ["region=far, west", "region=north", "region=south"]
    flags = ["bmi=missing", "s3=missing"] if indicator else []
    assert data.feature_names == [*NUMBERS, *flags, "sex=female", "sex=male", *regions]


def test_nothing_is_learned_from_rows_that_are_not_for_training(tmp_path):
    path = own_tables.diabetes(tmp_path)
    data = ready(path, missing="median", **KINDS)
    frame, (train, *_) = pandas.read_csv(path), data.rows_of(0)
    others = frame.index.difference(train.tolist())
    frame.loc[others, NUMBERS] *= 7
    frame.loc[others, "region"] = "elsewhere"
    frame.to_csv(path, index=False)
    assert ready(path, missing="median", **KINDS).fitted.state == data.fitted.state


@pytest.mark.parametrize("how", ["number", "parts"])
def test_dates(tmp_path, how):
    frame = pandas.DataFrame({"when": pandas.date_range("1999-12-30", periods=50, freq="30h")})
    frame["day"] = frame.when.dt.strftime("%d.%m.%Y")
    frame.assign(y=range(50)).to_csv(tmp_path / "rows.csv", index=False)
    data = ready(tmp_path / "rows.csv", dates=how, date_format="%d.%m.%Y", columns=["day"])
    days = frame.when.dt.normalize()
    found = data.table.inputs
    if how == "number":
        assert (found["day.days"] == (days - pandas.Timestamp(0)).dt.days).all()
    else:
        for part in ("year", "month", "day", "weekday"):
            assert (
                found[f"day.{part}"] == getattr(days.dt, {"weekday": "day_of_week"}.get(part, part))
            ).all()
        assert "day.hour" not in found
        frame[["when"]].assign(y=range(50)).to_csv(tmp_path / "rows.csv", index=False)
        found = ready(tmp_path / "rows.csv", dates=how).table.inputs
        hours = frame.when.dt.hour + frame.when.dt.minute / 60
        assert (found["when.hour"] == hours).all() and data.numbers == 4


def test_rare_and_unknown_categories_are_zeros(tmp_path):
    words = ["a"] * 40 + ["b"] * 30 + [f"rare {row}" for row in range(30)]
    path = tmp_path / "rows.csv"
    pandas.DataFrame({"word": words, "y": range(100)}).to_csv(path, index=False)
    data = ready(path, max_categories=3)
    assert data.feature_names == ["word=a", "word=b"]
    train = data.rows_of(0)[0]
    golden = OneHotEncoder(max_categories=3, sparse_output=False)
    expected = golden.fit_transform(np.array(words, dtype=object)[train, None])[:, :2]
    np.testing.assert_array_equal(data.splits(0).train.inputs, expected)
    pandas.DataFrame({"word": ["b", "never seen", None]}).to_csv(tmp_path / "new.csv")
    new = Tabular(str(path), max_categories=3, missing="refuse", predict=str(tmp_path / "new.csv"))
    new.load_state_dict(kept(data))
    with pytest.raises(ValueError, match=r"new.csv, column word, line 4: a value is missing"):
        list(new.predict_dataloader())
    pandas.DataFrame({"word": ["b", "never seen"]}).to_csv(tmp_path / "new.csv", index=False)
    assert batches(new.predict_dataloader())[0].tolist() == [[0, 1], [0, 0]]


def test_whole_numbers_are_one_category_however_they_are_written(tmp_path):
    """Pandas writes 3.0 where a value of the column is missing; identifiers stay as they are."""
    path, new = tmp_path / "rows.csv", tmp_path / "new.csv"
    path.write_text("code,y\n" + "".join(f"{row % 2},{row % 3}\n" for row in range(60)))
    arguments = {"categorical": ["code"], "class_target": True, "missing": "mean"}
    state = kept(ready(path, **arguments))
    new.write_text("code,id\n1.0,7.0\n,True\n0.0,a b \n")
    data = Tabular(str(path), predict=str(new), id="id", **arguments)
    data.load_state_dict(state)
    ((inputs, _, rows),) = data.predict_dataloader()
    assert data.feature_names == ["code=0", "code=1"] and data.class_names == ["0", "1", "2"]
    assert inputs.tolist() == [[0, 1], [0, 0], [1, 0]]
    assert data.identifiers(rows) == ["7.0", "True", "a b"]


@pytest.mark.parametrize("rows", [40, 200])
def test_identifiers_are_no_categories(tmp_path, rows):
    path = tmp_path / "rows.csv"
    path.write_text("name,x,y\n" + "".join(f"n{row},{row},{row}\n" for row in range(rows)))
    with pytest.raises(ValueError, match=r"column name: \d+ values in \d+ .*--data.id=name"):
        ready(path)
    assert ready(path, ignore=["name"]).feature_names == ["x"]


def test_a_target_of_words_is_a_class(tmp_path):
    data = ready(own_tables.wine(tmp_path), target="grower", missing="mean", ignore=["bottle"])
    assert data.class_names == ["Barbera", "Barolo", "Grignolino"] and data.classes == 3
    assert (data.target_names, data.target_name) == (["grower"], "grower")
    inputs, targets = batches(data.train_dataloader())
    assert targets.dtype == torch.int64 and inputs.dtype == torch.float32
    assert (data.target_mean, data.target_std) == (0.0, 1.0)
    growers = pandas.read_csv(tmp_path / "wine.csv").grower
    rows = data.rows_of(0)[0]
    found = [data.class_names[number] for number in data.splits(0).train.targets]
    assert found == growers[rows.numpy()].tolist()


@pytest.mark.parametrize(("labels", "names"), [("10 9 9 10", "9 10"), ("b 9 9 b", "9 b")])
def test_classes_that_are_numbers_are_asked_for(tmp_path, labels, names):
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in enumerate(labels.split() * 10)))
    if "b" not in labels:
        assert ready(path).class_names is None
        assert ready(path, class_target="whole").class_names == names.split()
    data = ready(path, class_target=True)
    assert data.class_names == names.split()
    path.write_text("x,z,y\n1,2,a\n")
    for said in ("true", "whole"):
        with pytest.raises(ValueError, match=rf"--data.class_target={said}: a class is one column"):
            ready(path, class_target=said == "true" or said, target=["y", "z"])


@pytest.mark.parametrize("labels", ["1 2.5 1 2", "2020-01-01 2020-02-01"])
def test_whole_takes_no_measurement_for_a_class(tmp_path, labels):
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in enumerate(labels.split() * 10)))
    if "-" in labels:
        with pytest.raises(ValueError, match="column y, line 2: '2020-01-01' is no finite number"):
            ready(path, class_target="whole")
    else:
        assert ready(path, class_target="whole").class_names is None


@pytest.mark.parametrize("hole", ["1.0", ""])
def test_whole_numbers_as_pandas_writes_them_beside_holes(tmp_path, hole):
    path = tmp_path / "rows.csv"
    labels = ["10.0", "9.0", hole] * 10
    path.write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in enumerate(labels)))
    data = ready(path, class_target="whole", missing="mean")
    assert data.class_names == [*["1"] * bool(hole), "9", "10"]


def test_several_targets(tmp_path):
    path = own_tables.linnerud(tmp_path)
    data = ready(path, target=["Pulse", "Weight"], ignore=["Waist"], batch_size=4)
    assert data.target_names == ["Pulse", "Weight"] and data.target_name is None
    frame, (train, *_) = pandas.read_csv(path), data.rows_of(0)
    scaler = StandardScaler().fit(frame[["Pulse", "Weight"]].iloc[train])
    np.testing.assert_allclose(data.target_mean, scaler.mean_, rtol=1e-14)
    np.testing.assert_allclose(data.target_std, scaler.scale_, rtol=1e-14)
    assert next(iter(data.train_dataloader()))[1].shape == (4, 2)
    expected = scaler.transform(frame[["Pulse", "Weight"]].iloc[train])
    np.testing.assert_allclose(data.splits(0).train.targets, expected, atol=1e-12)


def test_missing_targets_are_marked_where_missing_values_are_not_refused(tmp_path):
    path = own_tables.wine(tmp_path)
    frame = pandas.read_csv(path)
    frame.loc[5, "grower"] = None
    frame.to_csv(path, index=False)
    with pytest.raises(
        ValueError, match=r"column grower, line 7: a target is missing; with --data\.missing"
    ):
        ready(path, target="grower", columns=["hue"])
    data = ready(path, target="grower", columns=["hue"], missing="mean", stratify=False)
    assert data.targets[5] == MISSING and data.classes == 3
    shared = ready(path, target="grower", columns=["hue"], missing="mean")
    commonest = frame.grower.mode()[0]
    filled = frame.assign(grower=frame.grower.fillna(commonest))
    filled.to_csv(tmp_path / "filled.csv", index=False)
    expected = ready(tmp_path / "filled.csv", target="grower", columns=["hue"], missing="mean")
    for found, rows in zip(shared.rows_of(0), expected.rows_of(0), strict=True):
        assert torch.equal(found, rows), "by class, as if it were of the commonest"
    data = ready(path, target="ash", columns=["hue"], missing="mean")
    holes = frame.ash.isna().to_numpy()
    assert (data.targets.isnan().numpy() == holes).all()
    train = data.rows_of(0)[0]
    assert data.target_mean == pytest.approx(frame.ash[train.numpy()].mean())


def test_new_rows_are_read_as_those_of_the_fit(tmp_path):
    path = own_tables.diabetes(tmp_path)
    arguments = {"target": "progression", "missing": "indicator", "dates": "parts"}
    data = ready(path, id="patient", **arguments)
    frame = pandas.read_csv(path)
    mixed = frame.iloc[:, ::-1].drop(columns="progression").assign(more=1)
    mixed.to_csv(tmp_path / "new.csv", index=False, sep=";")
    state = kept(data)
    path.unlink()
    for chunk in (50_000, 64):
        new = Tabular(str(path), predict=str(tmp_path / "new.csv"), id="patient", **arguments)
        new.setup("predict")
        new.load_state_dict(state)
        for name in ("feature_names", "target_mean", "target_std", "target_names", "numbers"):
            assert getattr(new, name) == getattr(data, name)
        assert new.input_shape == data.input_shape
        loader = new.predict_dataloader()
        loader.chunk = chunk
        rows, names = [], []
        # Lightning asks for a batch before it is done with the one before.
        for (_, targets, numbers), _ in pairwise(chain(loader, [None])):
            assert targets.isnan().all() and targets.shape == numbers.shape
            rows += numbers.tolist()
            names += new.identifiers(numbers)
            assert len(loader.named) <= 2, "chunks in memory"
        inputs = batches(loader)[0]
        assert rows == list(range(442)) and names == frame.patient.tolist()
        train, val, test = data.rows_of(0)
        split = data.splits(0)
        expected = torch.empty(442, len(data.feature_names))
        for numbers, part in ((train, split.train), (val, split.val), (test, split.test)):
            expected[numbers] = part.inputs.float()
        assert torch.equal(inputs, expected)
        assert new.state_dict() == state


def test_test_rows_have_their_numbers_and_identifiers(tmp_path):
    path = own_tables.diabetes(tmp_path)
    data = ready(path, target="progression", missing="mean", id="patient")
    frame = pandas.read_csv(path)
    inputs, targets, rows = batches(data.predict_dataloader())
    assert rows.tolist() == data.rows_of(0)[2].tolist()
    expected = frame.progression[rows.numpy()]
    np.testing.assert_allclose(targets * data.target_std + data.target_mean, expected, rtol=1e-5)
    assert data.identifiers(rows) == frame.patient[rows.numpy()].tolist()
    assert ready(path, target="progression", missing="mean").identifiers(rows[:2]) == [
        str(row) for row in rows[:2].tolist()
    ]
    assert inputs.shape == (len(rows), *data.input_shape)


def test_new_rows_may_be_in_another_kind_of_file(tmp_path):
    pytest.importorskip("pyarrow", reason="needs the extra: pip install -e '.[parquet]'")
    path = own_tables.diabetes(tmp_path)
    arguments = {"missing": "mean", "target": "progression", "id": "patient"}
    state, frame = kept(ready(path, **arguments)), pandas.read_csv(path, parse_dates=["day"])
    frame.astype({"sex": "category"}).to_parquet(tmp_path / "new.parquet", row_group_size=100)
    found = []
    for file in (path, tmp_path / "new.parquet"):
        new = Tabular("gone.csv", predict=str(file), **arguments)
        new.load_state_dict(state)
        loader = new.predict_dataloader()
        loader.chunk = 64
        batch = batches(loader)
        found.append((batch[0].tolist(), batch[2].tolist(), new.identifiers(batch[2][-20:])))
    assert found[0] == found[1] and found[0][2] == frame.patient.tolist()[-20:]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size,colour\n1,red\n", r"new.csv has no column weight, which the fit had"),
        ("size,Weight,colour\n1,2,red\n", r"no column weight, .*; is it Weight\?"),
        ("size,weight,weight,colour\n1,2,2,red\n", r"2 columns weight"),
        ("size,weight,colour\n1,2,red\n1,,red\n", r"column weight, line 3: a value is missing"),
        ("size,weight,colour\n1,2,red\n1,x,red\n", r"column weight, line 3: 'x' is no finite"),
        ("1,2,3,4,5\n", r"new.csv has no column size"),
        ("size,weight,colour\n", r"new.csv has no rows"),
    ],
)
def test_new_rows_that_do_not_fit_are_refused(tmp_path, text, message):
    path = tmp_path / "rows.csv"
    lines = [f"{row},{row % 7},{'red' if row % 2 else 'blue'},{row}" for row in range(50)]
    path.write_text("\n".join(["size,weight,colour,y", *lines]))
    state = kept(ready(path))
    (tmp_path / "new.csv").write_text(text)
    new = Tabular(str(path), predict=str(tmp_path / "new.csv"))
    new.load_state_dict(state)
    with pytest.raises(ValueError, match=message):
        list(new.predict_dataloader())


def test_columns_without_names_are_found_by_their_place(tmp_path):
    path, new = tmp_path / "rows.csv", tmp_path / "new.csv"
    path.write_text("".join(f"{row},{row % 7},{row % 5}\n" for row in range(50)))
    data = ready(path, target=0, standardize=False)
    state = kept(data)
    for text in ("9,1,2\n9,3,4\n", "1,2\n3,4\n"):
        new.write_text(text)
        other = Tabular(str(path), target=0, standardize=False, predict=str(new), header=False)
        other.load_state_dict(state)
        assert batches(other.predict_dataloader())[0].tolist() == [[1, 2], [3, 4]]
    new.write_text("1,2,3,4\n")
    with pytest.raises(
        ValueError, match=r"new.csv has 4 columns without names: give 3 columns, as"
    ):
        other.predict_dataloader()


def test_a_state_that_is_not_of_these_rows_is_refused(tmp_path):
    path = own_tables.diabetes(tmp_path)
    arguments = {"missing": "mean", **KINDS}
    state = kept(ready(path, **arguments))
    ready(path, **arguments).load_state_dict(state)
    for other, what in (
        ({"split": 1}, "other training inputs"),
        ({"ignore": ["age", "day"]}, "other columns"),
        ({"max_categories": 2}, "other categories"),
        ({"target": "s6"}, "other columns"),
    ):
        with pytest.raises(
            ValueError, match=f"--data has {what}.* than the network was trained on"
        ):
            ready(path, **{**arguments, **other}).load_state_dict(state)
    with pytest.raises(ValueError, match=r"the checkpoint's state of --data is damaged"):
        ready(path, **arguments).load_state_dict({**state, "schema": {}})


CHANGES = {
    "a target": lambda table: table.assign(progression=table.progression + 1e-9),
    "a word": lambda table: table.assign(region=table.region.mask(table.index == 7, "north")),
    "another order": lambda table: table.iloc[[1, 0, *range(2, len(table))]],
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_fit_goes_on_with_the_same_rows_in_the_same_order_alone(what, tmp_path):
    """Their means tell no small change, and no order."""
    path = own_tables.diabetes(tmp_path)
    given = {"missing": "mean", "test_size": 0, "val_size": 0.01, **KINDS}
    state = kept(ready(path, **given))
    table = CHANGES[what](pandas.read_csv(path))
    table.to_csv(path, index=False)
    data = ready(path, **given)
    data.load_state_dict(state)  # as a test does
    data.trainer = SimpleNamespace(state=SimpleNamespace(fn="fit"))
    with pytest.raises(ValueError, match="--data has other rows than the network was trained on"):
        data.load_state_dict(state)
    data.load_state_dict({key: value for key, value in state.items() if key != "rows"})


def test_a_fit_goes_on_with_the_rows_of_its_checkpoint(tmp_path):
    path = own_tables.diabetes(tmp_path)
    given = {"missing": "mean", **KINDS}
    state = kept(ready(path, **given))
    data = ready(path, **given)
    data.trainer = SimpleNamespace(state=SimpleNamespace(fn="fit"))
    data.load_state_dict(state)
    table = pandas.read_csv(path)
    row = int(data.rows_of(0)[2][0])  # of test: the file is another one all the same
    other = Tabular(str(path), predict=str(path), **given)
    path.unlink()
    other.load_state_dict(state)
    assert kept(other) == state, "also where the file has gone"
    table.assign(age=table.age.mask(table.index == row, 99)).to_csv(path, index=False)
    changed = ready(path, **given)
    changed.trainer = data.trainer
    with pytest.raises(ValueError, match="--data has other rows than the network was trained on"):
        changed.load_state_dict(state)


HASH = "3374ac09defd537f"


def test_the_hash_of_rows_is_of_their_values_and_order():
    frame = pandas.DataFrame({"x": [0.0, 1.5, float("nan")], "w": pandas.Categorical(list("aba"))})
    targets, rows = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([2, 0])
    found = digest_rows(frame, targets, rows)
    assert found == HASH, "on every machine"
    assert digest_rows(frame.assign(x=[-0.0, 1.5, -np.float64("nan")]), targets, rows) == found
    assert digest_rows(frame.assign(w=pandas.Categorical(list("abb"))), targets, rows) != found
    assert digest_rows(frame, targets, rows.flip(0)) != found


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_processes_share_the_rows(tmp_path, world_size):
    path = own_tables.diabetes(tmp_path)
    arguments = {"missing": "mean", "batch_size": 12 // world_size, **KINDS}
    alone = ready(path, **{**arguments, "batch_size": 12, "predict": str(path)})
    parts = []
    for rank in range(world_size):
        data = ready(path, predict=str(path), **arguments)
        data.trainer = seen_by(rank, world_size)
        parts.append((list(data.train_dataloader()), list(data.predict_dataloader())))
    for which, whole in enumerate((alone.train_dataloader(), alone.predict_dataloader())):
        for step, batch in enumerate(whole):
            shared = torch.cat([part[which][step][0] for part in parts])
            assert sorted(shared.tolist()) == sorted(batch[0].tolist())


def test_several_streams_of_one_table(tmp_path):
    path = own_tables.diabetes(tmp_path)
    data = ready(path, missing="mean", **KINDS)
    data.join([(0, 1), (1, 2), (0, 2)])
    inputs, targets = next(iter(data.train_dataloader()))
    assert inputs.shape == (3, 64, *data.input_shape) and targets.shape == (3, 64)
    words = ["a", *["b", "c"] * 20]
    pandas.DataFrame({"word": words, "y": range(41)}).to_csv(path, index=False)
    data = ready(path, batch_size=8, split=3)
    data.join([(split, 0) for split in range(10)])
    with pytest.raises(ValueError, match=r"--data: the splits have 2 to 3 inputs: not every cat"):
        data.train_dataloader()
    with pytest.raises(ValueError, match=r"--data.target: several streams are of one number"):
        ready(path, target="word", columns=["y"], stratify=False).join([(0, 0), (1, 0)])


def test_a_fit_goes_on_with_the_numbers_of_its_checkpoint(tmp_path):
    """As on a machine that rounds otherwise: they are its own, also of rows read before."""
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n" + "".join(f"{row % 7},{row}\n" for row in range(50)))
    data, other = ready(path), ready(path)
    state = kept(data)
    state["scale"]["input_mean"][0] += 5e-7 * state["scale"]["input_std"][0]
    before = batches(data.val_dataloader())[0]
    data.load_state_dict(state)
    assert kept(data) == state != kept(other)
    moved = before - batches(data.val_dataloader())[0]
    torch.testing.assert_close(moved, torch.full_like(moved, 5e-7), rtol=0, atol=2e-7)
    state["scale"]["input_mean"][0] += state["scale"]["input_std"][0]
    with pytest.raises(ValueError, match="--data has other training inputs than the network was"):
        data.load_state_dict(state)


@pytest.mark.parametrize("dates", ["number", "parts"])
def test_rows_are_written_as_the_file_has_them(dates, tmp_path):
    """What encodes them undone: numbers, words, holes and dates, in the columns' order."""
    path = own_tables.diabetes(tmp_path)
    frame = pandas.read_csv(path)
    when = pandas.date_range("1999-12-30 06:30:15", periods=len(frame), freq="1h7min")
    frame.insert(0, "when", when.strftime("%Y-%m-%dT%H:%M:%S"))
    frame.insert(1, "since", when.strftime("%Y-%m-%d"))
    frame.to_csv(path, index=False)
    data = ready(path, missing="indicator", dates=dates, **KINDS)
    train = data.rows_of(0)[0].numpy()
    found = pandas.DataFrame(data.fitted.written(data.splits(0).train.inputs.float()))
    expected = frame.drop(columns=["progression", "patient", "day"]).iloc[train]
    kept = [name for name in expected if dates == "number" or name not in ("when", "since")]
    assert [name for name in found if "." not in name] == kept
    for name in kept:
        real, again = expected[name].reset_index(drop=True), found[name]
        if real.dtype.kind == "f":
            missing = real.isna()
            assert (again[missing] == "").all()
            again = again[~missing].astype(float)
            np.testing.assert_allclose(again, real[~missing], rtol=1e-4, atol=1e-4)
        elif name == "when":  # float32 has some minutes of thirty years
            apart = pandas.to_datetime(again) - pandas.to_datetime(real)
            assert apart.abs().max() < pandas.Timedelta(minutes=5)
        else:
            assert (again == real.fillna("")).all(), name
    if dates == "parts":
        assert (found["since.year"].round() == when.year[train]).all()
