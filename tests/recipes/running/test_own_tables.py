"""From a table with words, dates and holes to predictions of new rows, on the command line."""

from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

import own_tables
from datamodules import Tabular
from forks import ended_well, ranks
from marks import slow
from recipes.classify import Classify
from recipes.running import main
from trains import interrupt_after, middle_of_epoch, rows

DIABETES = (
    *(
        "--data=Tabular",
        "--data.target=progression",
        "--data.id=patient",
        "--data.missing=indicator",
    ),
    *("--data.dates=parts", "--data.group=patient", "--data.batch_size=16"),
    *("--model.network.inputs=22", "--model.network.widths=[8]"),
)
WINE = (
    *("--data=Tabular", "--data.target=grower", "--data.missing=median", "--data.ignore=[bottle]"),
    *("--model.network=MLP", "--model.network.inputs=14", "--model.network.widths=[8]"),
    "--model.network.outputs=3",
)
FAST = ("--trainer.max_epochs=15", "--model.optimizer.lr=0.05")


def checkpoint(folder):
    return f"--ckpt_path={folder}/checkpoints/last.ckpt"


def test_new_rows_are_predicted_without_the_file_of_the_fit(recipe, tmp_path):
    path = own_tables.diabetes(tmp_path)
    recipe("regress", "fit", f"--data.path={path}", *DIABETES, "--trainer.max_epochs=2", "--name=a")
    folder, table = Path("runs/regress/a"), pandas.read_csv(path)
    state = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["Tabular"]
    assert state["schema"]["targets"] == ["progression"]
    recipe("regress", "predict", checkpoint(folder))
    held = pandas.read_csv(folder / "predictions.csv")
    arguments = {"group": "patient", "missing": "mean", "id": "patient"}
    test = Tabular(str(path), target="progression", **arguments).rows_of(0)[2].numpy()
    np.testing.assert_allclose(held.target, table.progression[test], rtol=1e-5)
    path.unlink()
    new = tmp_path / "new.csv"
    table.iloc[:, ::-1].drop(columns="progression").to_csv(new, index=False)
    recipe("regress", "predict", checkpoint(folder), f"--data.predict={new}")
    found = pandas.read_csv(folder / "predictions.csv")
    assert len(found) == len(table) and "target" not in found
    np.testing.assert_allclose(found.prediction[test], held.prediction, rtol=1e-5)


@pytest.mark.slow
def test_words_are_classified(recipe, tmp_path):
    path = own_tables.wine(tmp_path)
    recipe("classify", "fit", f"--data.path={path}", *WINE, "--name=a", *FAST)
    folder, table = Path("runs/classify/a"), pandas.read_csv(path)
    assert rows(folder)[-1]["val/accuracy"] > 0.8
    table.drop(columns=["grower", "bottle"]).to_csv(tmp_path / "new.csv", index=False)
    recipe("classify", "predict", checkpoint(folder), "--data.predict=new.csv")
    assert len(pandas.read_csv(folder / "predictions.csv")) == len(table)
    for option in ("--id", "--data.id"):
        with pytest.raises(ValueError, match=rf"^{option}=barrel: no such column; there are 13: "):
            flags = ("--data.predict=new.csv", f"{option}=barrel")
            recipe("classify", "predict", checkpoint(folder), *flags)
    recipe("classify", "test", checkpoint(folder), "--data.test_path=wine.csv")
    path.rename("moved.csv")
    recipe("classify", "test", checkpoint(folder), "--data.test_path=moved.csv")


CANCER = (
    *("--data=Tabular", "--data.path=cancer.csv", "--data.target=kind", "--data.missing=indicator"),
    *("--data.decimal=,", "--data.date_format=%d.%m.%Y", "--data.encoding=latin-1"),
    *("--model.network=MLP", "--model.network.widths=[8]"),
)


@pytest.mark.slow
def test_whole_numbers_are_classes_where_classes_are_wanted(recipe, tmp_path):
    path = own_tables.cancer(tmp_path)
    recipe("classify", "fit", *CANCER, "--name=a", *FAST)
    recipe("classify", "test", checkpoint("runs/classify/a"))
    read = {"sep": ";", "decimal": ",", "encoding": "latin-1", "index_col": 0}
    table = pandas.read_csv(path, **read)
    table.drop(columns="kind").to_csv("new.csv", sep=";", decimal=",", encoding="latin-1")
    recipe("classify", "predict", checkpoint("runs/classify/a"), "--data.predict=new.csv")
    found = pandas.read_csv("runs/classify/a/predictions.csv").prediction
    assert (found.to_numpy() == table.kind.to_numpy()).mean() > 0.9
    with pytest.raises(ValueError, match=r"--data.class_target=true: the target is a number"):
        recipe("classify", "fit", *CANCER, "--data.class_target=false", "--name=b")
    recipe("regress", "fit", *CANCER, "--trainer.max_epochs=1", "--name=numbers")


def test_the_file_is_read_once_and_each_doubt_is_said_once(recipe, tmp_path, caplog, monkeypatch):
    table = pandas.read_csv(own_tables.diabetes(tmp_path)).dropna(axis=1)
    table.assign(same=table.progression, one=1).to_csv("rows.csv")
    reads, read = [], Tabular.read
    monkeypatch.setattr(Tabular, "read", lambda data: (reads.append(1), read(data))[1])
    with caplog.at_level("INFO", "lightning.pytorch.utilities.rank_zero"):
        flags = ("--data.target=progression", "--trainer.max_epochs=1", "--name=a")
        recipe("regress", "fit", "--data=Tabular", "--data.path=rows.csv", *flags)
    said = [record.message for record in caplog.records]
    expected = ("column 0 only labels", "one is constant", "same equals", "share their patient")
    assert [sum(part in line for line in said) for part in expected] == [1] * 4
    assert len(reads) == 1


def test_an_interrupted_run_resumes_exactly(recipe, tmp_path, monkeypatch):
    path = own_tables.diabetes(tmp_path)
    fit = ("fit", f"--data.path={path}", *DIABETES, "--trainer.max_epochs=2")
    fit += ("--trainer.log_every_n_steps=1", "--model.network.dropout=0.3")
    recipe("regress", *fit, "--name=whole")
    with monkeypatch.context() as patch:
        interrupt_after(23, patch)
        with pytest.raises(MemoryError):
            recipe("regress", *fit, *middle_of_epoch("runs/regress/cut"), "--name=cut")
    recipe("regress", "fit", "--ckpt_path=runs/regress/cut/checkpoints/middle.ckpt")
    folders = [Path("runs/regress", name) for name in ("whole", "cut")]
    one, two = (torch.load(f / "checkpoints/last.ckpt", weights_only=True) for f in folders)
    assert all(
        torch.equal(one["state_dict"][key], two["state_dict"][key]) for key in one["state_dict"]
    )
    assert one["Tabular"] == two["Tabular"] and rows(folders[0]) == rows(folders[1])
    table = pandas.read_csv(path)
    table.assign(bmi=table.bmi * 2).to_csv(path, index=False)
    with pytest.raises(ValueError, match="--data has other training inputs than the network was"):
        recipe("regress", "fit", checkpoint(folders[0]), "--trainer.max_epochs=3")


@pytest.mark.slow  # the ranks' batches are compared in tests/datamodules/test_mixed.py
def test_two_processes_train_the_same_network(recipe, tmp_path):
    path = own_tables.wine(tmp_path)
    sgd = ("--model.optimizer=SGD", "--model.optimizer.lr=0.1", "--trainer.max_epochs=2")
    fit = ("fit", f"--data.path={path}", *WINE, *sgd)
    recipe("classify", *fit, "--data.batch_size=16", "--name=one")
    two = ("--config=ddp", "--trainer.devices=2", "--data.batch_size=8", "--name=two")
    ended_well(*ranks(2, "recipes.classify", *fit, *two))
    states = [
        torch.load(f"runs/classify/{name}/checkpoints/last.ckpt", weights_only=True)
        for name in ("one", "two")
    ]
    for one, other in zip(*(state["state_dict"].values() for state in states), strict=True):
        torch.testing.assert_close(one, other)
    assert states[0]["Tabular"] == states[1]["Tabular"]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ((), "wine.csv, column ash, line 11: a value is missing; say --data.missing=mean, median"),
        (
            ("--data.missing=mean", "--data.folds=3", "--data.time=bottle"),
            "--data.folds=3 excludes",
        ),
        (
            ("--data.missing=mean", "--data.max_categories=1"),
            "--data.max_categories=1 must be a whole number, 2 or above",
        ),
        (("--data.missing=zero",), "--data.missing=zero must be one of refuse, mean"),
        (("--data.predict=new.csv", "--data.path=none.csv"), "none.csv: no such file"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, flags, line):
    path = own_tables.wine(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(
            Classify,
            ["fit", "--data=Tabular", f"--data.path={path}", "--data.target=grower", *flags],
        )
    assert stop.value.code.startswith("error: ") and line in stop.value.code
    assert "\n" not in stop.value.code
    assert not Path("runs").exists() or not [*Path("runs").glob("*/*")]


@pytest.mark.parametrize("embedding", ["PiecewiseLinearEmbedding", slow("PeriodicEmbedding")])
def test_numbers_and_categories_are_embedded(recipe, tmp_path, embedding):
    """What an embedding has learned of the training rows comes back with the checkpoint."""
    path = own_tables.diabetes(tmp_path)
    flags = [flag for flag in DIABETES if "inputs" not in flag]
    embedded = [f"--model.network.embedding={embedding}", "--model.network.category_width=3"]
    short = "--trainer.max_epochs=2"
    recipe("regress", "fit", f"--data.path={path}", *flags, *embedded, short, "--name=a")
    folder = Path("runs/regress/a")
    state = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    tables = [value for name, value in state.items() if "categories" in name]
    data = Tabular(str(path), "progression", missing="indicator", group="patient", id="patient")
    data.setup("fit")
    assert [table.shape[1] for table in tables] == data.blocks and data.blocks
    recipe("regress", "validate", checkpoint(folder))
    trained, loaded = rows(folder)[-1], rows(folder, "validate")[-1]
    assert loaded["val/rmse"] == pytest.approx(trained["val/rmse"], rel=1e-6)
