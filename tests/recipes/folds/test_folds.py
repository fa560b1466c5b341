"""Cross-validation by one command: scikit-learn's folds, ridge's scores, every row tested once."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datamodules import Linear
from recipes.compare.groups import mean_std
from recipes.folds.__main__ import main, make, parser, wanted
from recipes.folds.result import comparison
from recipes.folds.statistics import interval, resampled_t_test
from recipes.running.recipe import find_recipe
from recipes.running.settings import in_order
from recipes.seeds.several import parsed

GAINS = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]  # Student 1908, hours of sleep
ROWS, FOLDS, DECAY = 60, 2, 0.2
RIDGE = (
    *("--model.network=LinearModel", "--model.loss=mse", "--model.optimizer=SGD"),
    *("--model.optimizer.lr=0.3", f"--model.optimizer.weight_decay={DECAY}"),
    *("--data=Linear", f"--data.rows={ROWS}", "--data.features=3", "--data.noise=1"),
    *("--data.standardize=true", "--data.batch_size=full", "--data.val_size=0"),
    *("--trainer.max_epochs=60", "--trainer.precision=64-true", "--trainer.callbacks=[]"),
)


@pytest.fixture
def folds(monkeypatch):
    """Runs the command in this process."""
    monkeypatch.setenv("RECIPES_DEBUG", "1")

    def run(*args):
        assert make(["--recipe=regress", f"--folds={FOLDS}", "--name=a", *args])

    return run


@pytest.mark.slow
def test_ridge_is_scikit_learns_cross_validation(folds, capsys):
    folds(*RIDGE)
    rows = ROWS * (FOLDS - 1) // FOLDS
    # Ours is the mean of squares plus DECAY / 2 |w|^2, scikit-learn's their sum plus alpha |w|^2.
    ridge = TransformedTargetRegressor(Ridge(rows * DECAY / 2), transformer=StandardScaler())
    ridge = make_pipeline(StandardScaler(), ridge)
    inputs, targets = (part.numpy() for part in Linear(ROWS, 3, 1.0).examples)
    cut = KFold(FOLDS, shuffle=True, random_state=0)
    score = "neg_root_mean_squared_error"
    expected = -cross_val_score(ridge, inputs, targets, cv=cut, scoring=score)
    folder = Path("runs/regress/a")
    result = json.loads((folder / "folds.json").read_text())
    np.testing.assert_allclose(result["test/rmse"], expected, rtol=1e-6)
    assert result["runs"] == ["a-f0", "a-f1"] and result["ratio"] == 1 / (FOLDS - 1)

    table = list(csv.DictReader((folder / "out_of_fold.csv").read_text().splitlines()))
    assert [int(row["row"]) for row in table] == list(range(ROWS))
    tested = {row: fold for fold, (_, held) in enumerate(cut.split(inputs)) for row in held}
    assert [int(row["fold"]) for row in table] == [tested[row] for row in range(ROWS)]
    found = [float(row["prediction"]) for row in table]
    np.testing.assert_allclose(found, cross_val_predict(ridge, inputs, targets, cv=cut), atol=1e-6)
    np.testing.assert_allclose([float(row["target"]) for row in table], targets, atol=1e-6)
    said = capsys.readouterr().out
    (row,) = [line for line in said.splitlines() if line.startswith("| test/rmse")]
    assert mean_std(expected.tolist()) in row
    facts = json.loads(Path("runs/regress/a-f1/run.json").read_text())
    assert facts["group"] == "a" and facts["settings"]["data.fold"] == 1

    before = {path: path.read_bytes() for path in Path("runs").glob("regress/a-f*/*.*")}
    folds(*RIDGE, "--against=runs/regress/a")
    after = {path: path.read_bytes() for path in before}
    assert after == before, "nothing was done again"
    assert "difference from runs/regress/a" in capsys.readouterr().out


def test_the_corrected_error_is_the_formula_s():
    ratio = 0.25
    mean, variance = np.mean(GAINS), np.var(GAINS, ddof=1)
    t, p = resampled_t_test(GAINS, ratio)
    assert t == pytest.approx(mean / math.sqrt((1 / 10 + ratio) * variance))
    assert p == pytest.approx(2 * stats.t.sf(t, 9))
    low, high = interval(GAINS, ratio)
    reach = stats.t.ppf(0.975, 9) * math.sqrt((1 / 10 + ratio) * variance)
    assert (low, high) == pytest.approx((mean - reach, mean + reach))


def test_without_overlap_it_is_the_paired_t_test():
    expected = stats.ttest_1samp(GAINS, 0)
    assert resampled_t_test(GAINS, 0) == pytest.approx((expected.statistic, expected.pvalue))
    assert resampled_t_test([0.0, 0.0], 0.25) == (0, 1)
    assert resampled_t_test([-1.0, -1.0], 0.25)[1] == 0


def test_other_folds_are_not_compared():
    one = {
        "runs": ["a"],
        "rows": ["x", "y"],
        "ratio": 0.5,
        "test/rmse": [1.0, 2.0],
        "test/loss": [1.0, 2.0],
    }
    said = comparison(one, one | {"test/rmse": [2.0, 2.0]}, Path("b"))
    assert "| test/rmse |" in said and "test/loss" not in said and "-0.5000 ± 0.7071" in said
    for other, message in (
        ({"rows": ["x", "z"]}, "--against=b: its folds are of other rows"),
        ({"test/rmse": []}, "--against=b: no metric in common"),
    ):
        with pytest.raises(ValueError, match=message):
            comparison(one, one | other, Path("b"))


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("--folds=1",), "--folds=1: 2 or more"),
        (("--repeats=0",), "--repeats=0: 1 or more"),
        (("--data.fold=1",), "--data.fold=1: recipes.folds sets it, see --folds and --name"),
        (("--against=none",), "--against=none: no folds.json, which recipes.folds writes"),
        (("--recipe=classify",), "--data"),
        (("--name=a/b",), "--name=a/b: a name, not a path"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(args, line):
    with pytest.raises(SystemExit) as stop:
        main(["--recipe=regress", *args])
    message = str(stop.value.code)
    assert message.startswith("error: ") and line in message and "\n" not in message
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (["--data.path=mine.csv"], "mine"),
        (["--data.path=mine.csv", "--config=bf16"], "mine-bf16"),
        (["--data.path=mine.csv", "--config=lbfgs"], "lbfgs"),
        ([], "diabetes"),
    ],
)
def test_the_runs_are_named_as_a_fit_s(args, name):
    """Also in a comparison, which takes the setting's name from run.json."""
    regress = find_recipe("regress")
    given, flags = parsed(parser(), ["--recipe=regress", *args])
    assert given.name == in_order(args, regress)[1] == name
    for run in wanted(given, flags).values():
        assert in_order(list(run.flags), regress)[1] == name
