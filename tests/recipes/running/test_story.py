"""From train.csv to a submission, as it is typed on the pages."""

import shlex
from pathlib import Path

import numpy as np
import pandas
import pytest
from sklearn.metrics import accuracy_score, root_mean_squared_error

import own_tables
from launches import ROOT
from snippets import blocks


def typed(name):
    """The commands of a page from train.csv on: (recipe, arguments) each."""
    page = ROOT / "recipes" / name / "README.md"
    (story,) = [block for block in blocks(page, "bash") if "train.csv" in block]
    lines = [shlex.split(line) for line in story.strip().splitlines()]
    assert all(line[:2] == ["python", "-m"] for line in lines) and len(lines) == 4
    return [(line[2].removeprefix("recipes."), line[3:]) for line in lines]


def told(name, table, target, key, recipe):
    """Writes the files, types the commands; returns what was held back and the submission."""
    table = table.rename(columns={key: "id"}).sample(frac=1, random_state=0)
    table["id"] = [f"a{row}" for row in range(len(table))]
    held = table.iloc[-40:]
    table.iloc[:-40].to_csv("train.csv", index=False)
    # In another order, with a column that nobody knows, and without what is asked for.
    held.drop(columns=target).iloc[:, ::-1].assign(more="x").to_csv("test.csv", index=False)
    for command, arguments in typed(name):
        recipe(command, *arguments)
    return held, pandas.read_csv("submission.csv")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The number of training batches")
def test_a_number_is_predicted(tmp_path, recipe, caplog):
    table = pandas.read_csv(own_tables.diabetes(tmp_path)).rename(columns={"progression": "price"})
    held, found = told("regress", table, "price", "patient", recipe)
    assert list(found.columns) == ["id", "prediction", "std"]
    assert list(found.id) == list(held.id), "in the order of test.csv"
    error = root_mean_squared_error(held.price, found.prediction)
    assert error < 0.85 * np.std(table.price), "it has learned something"
    assert 0.5 * error < found["std"].mean() < 2 * error
    assert "test.csv: not used: more" in caplog.text


def test_a_class_is_predicted(tmp_path, recipe):
    table = pandas.read_csv(own_tables.wine(tmp_path)).rename(columns={"grower": "species"})
    held, found = told("classify", table, "species", "bottle", recipe)
    names = sorted(set(table.species))
    assert list(found.columns) == ["id", "prediction", *(f"probability_{n}" for n in names)]
    assert list(found.id) == list(held.id)
    assert accuracy_score(held.species, found.prediction) > 0.9
    report = Path("runs/classify/mine/report.txt").read_text()
    assert all(name in report for name in names)
    assert Path("runs/classify/mine/confusion.png").is_file()
