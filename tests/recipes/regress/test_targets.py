"""Regress with several targets: losses, metrics and predictions of each, in its own unit."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from datamodules import Tabular
from recipes.parts.networks import MLP
from recipes.regress import Regress
from recipes.regress.losses import Loss
from recipes.regress.prediction import by_target
from trains import fit, interrupt_after, rows

NAMES = ["height", "km/h"]


@pytest.fixture
def path(tmp_path):
    """Two targets of very different units; some of the first are missing."""
    noise = np.random.default_rng(0)
    inputs = noise.normal(size=(200, 3))
    height = 170 + 10 * inputs[:, 0] + noise.normal(size=200)
    speed = 0.02 + 0.001 * inputs[:, 1] + 1e-4 * noise.normal(size=200)
    with (file := tmp_path / "two.csv").open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["a", "b", "c", *NAMES])
        for row, (x, h, s) in enumerate(zip(inputs.tolist(), height, speed, strict=True)):
            writer.writerow([*x, "" if row % 10 == 3 else h, s])
    return file


def data(path, **kwargs):
    return Tabular(str(path), target=NAMES, batch_size=32, missing="mean", **kwargs)


def regress(outputs, seed=1, **kwargs):
    torch.manual_seed(seed)
    sgd = {"optimizer": lambda params: torch.optim.SGD(params, lr=0.1)}
    return Regress(lambda: MLP(3, [9], outputs), **sgd | kwargs)


def predicted(trainer, module):
    batches = trainer.predict(module, datamodule=trainer.datamodule)
    return {key: torch.cat([b[key] for b in batches]).double().numpy() for key in batches[0]}


def test_outputs_are_those_of_the_first_target_first():
    outputs = torch.arange(12.0).view(1, 2, 6)
    assert by_target(outputs, torch.zeros(2, 3))[0, 1].tolist() == [[6, 7], [8, 9], [10, 11]]
    assert by_target(outputs, torch.zeros(2)) is outputs


@pytest.mark.parametrize("loss", ["mse", "gaussian_nll", "quantile"])
def test_a_loss_of_several_is_the_mean_over_those_that_are_known(loss, path, tmp_path):
    made = Loss.of(loss, 1.0, Loss.levels)
    module, _ = fit(regress(2 * made.outputs, loss=loss), data(path), tmp_path)
    inputs, targets = torch.randn(3, 3), torch.tensor([[1.0, 2.0], [np.nan, 3.0], [4.0, np.nan]])
    outputs = module.network(inputs)
    slow = [
        made(outputs[row, n * made.outputs : (n + 1) * made.outputs], targets[row, n])
        for row, n in ((0, 0), (0, 1), (1, 1), (2, 0))
    ]
    module.is_first_evaluation = False
    found = module.training_step((inputs, targets), 0)
    assert found.item() == pytest.approx(sum(slow).item() / 4, rel=1e-6)
    found.backward()
    assert all(p.grad.isfinite().all() for p in module.parameters()), "NaN spoils nothing"


@pytest.mark.parametrize(
    "settings",
    [
        {"outputs": 2},
        {"outputs": 4, "loss": "gaussian_nll", "ensemble": 2},
        {"outputs": 6, "loss": "quantile"},
    ],
    ids=str,
)
def test_metrics_of_each_target_are_sklearns_in_its_own_unit(path, tmp_path, settings):
    module, trainer = fit(regress(**settings), data(path), tmp_path, max_epochs=5)
    (metrics,) = trainer.test(module, datamodule=trainer.datamodule, verbose=False)
    columns = predicted(trainer, module)
    for name in NAMES:
        known = ~np.isnan(columns[f"target_{name}"])
        parts = (columns[f"{what}_{name}"][known] for what in ("target", "prediction"))
        target, point = parts
        expected = {
            "rmse": root_mean_squared_error(target, point),
            "mae": mean_absolute_error(target, point),
            "r2": r2_score(target, point),
        }
        if "std_height" in columns:
            std = columns[f"std_{name}"][known]
            expected["nll"] = -norm.logpdf(target, point, std).mean()
        found = {key: metrics[f"test/{key}/{name}"] for key in expected}
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-7)
    for key in ("loss", *expected, "coverage", "calibration"):
        mean = sum(metrics[f"test/{key}/{name}"] for name in NAMES) / 2
        assert metrics[f"test/{key}"] == pytest.approx(mean, rel=1e-5)
    assert 140 < columns["prediction_height"].mean() < 200
    assert 0.01 < columns["prediction_km/h"].mean() < 0.03
    if "quantile_height" in columns:
        assert columns["quantile_km/h"].shape == (40, 3)


def test_a_target_is_trained_as_if_it_were_alone(path, tmp_path):
    """Of a linear network: the mean over two targets is half of each one's own loss."""

    def linear(outputs, rate):
        torch.manual_seed(0)
        return Regress(
            lambda: MLP(3, [], outputs), optimizer=lambda params: torch.optim.SGD(params, lr=rate)
        )

    path.write_text(path.read_text().replace(",,", ",170.0,"))
    both, alone = linear(2, 0.1), linear(1, 0.05)
    for own, shared in zip(alone.parameters(), both.parameters(), strict=True):
        own.data = shared[1:].detach().clone()
    fit(both, data(path), tmp_path, max_epochs=3)
    single = Tabular(str(path), target="km/h", ignore=["height"], batch_size=32)
    fit(alone, single, tmp_path, max_epochs=3)
    for own, shared in zip(alone.parameters(), both.parameters(), strict=True):
        torch.testing.assert_close(own, shared[1:])


def test_noise_and_scale_of_each_target_are_in_the_checkpoint(path, tmp_path):
    module, trainer = fit(regress(2), data(path), tmp_path, max_epochs=2)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
    own = trainer.datamodule
    assert saved["scaling"]["target"] == [own.target_mean.tolist(), own.target_std.tolist()]
    assert len(saved["noise"]) == 2 and all(0 < noise < 1.5 for noise in saved["noise"])
    other = Regress.load_from_checkpoint(tmp_path / "a.ckpt", network=lambda: MLP(3, [9], 2))
    one, two = predicted(trainer, module), predicted(trainer, other)
    assert one.keys() == two.keys() and all(np.array_equal(one[k], two[k], True) for k in one)
    with pytest.raises(ValueError, match=r"another training|other training"):
        trainer.test(module, datamodule=data(path, split=1), verbose=False)


def test_outputs_that_do_not_fit_are_refused(path, tmp_path):
    line = r"loss=gaussian_nll of 2 targets needs --model.network.outputs=4: .* makes \(2, 2\)"
    with pytest.raises(ValueError, match=line):
        fit(regress(2, loss="gaussian_nll"), data(path), tmp_path)


def test_a_target_without_known_rows_has_no_scores(path, tmp_path):
    table = list(csv.reader(path.read_text().splitlines()))
    module, trainer = fit(regress(2), data(path), tmp_path)
    test = trainer.datamodule.rows_of(0)[2].tolist()
    for row in test:
        table[row + 1][3] = ""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(table)
    (metrics,) = trainer.test(module, datamodule=data(path), verbose=False)
    assert "test/rmse/height" not in metrics
    assert metrics["test/rmse"] == metrics["test/rmse/km/h"]


FLAGS = (
    "--data=Tabular",
    "--data.path=two.csv",
    "--data.missing=mean",
    '--data.target=["height","km/h"]',
)
FLAGS += ("--model.network.inputs=3", "--model.network.outputs=4", "--trainer.max_epochs=4")


@pytest.mark.slow
def test_a_killed_run_resumes_identically_and_predicts_by_name(path, recipe, monkeypatch):
    recipe("regress", "fit", "--name=whole", *FLAGS)
    with monkeypatch.context() as context:
        interrupt_after(5, context)
        with pytest.raises(MemoryError):
            recipe("regress", "fit", "--name=cut", *FLAGS)
    recipe("regress", "fit", "--ckpt_path=runs/regress/cut/checkpoints/last.ckpt")
    whole, cut = (Path("runs/regress", name) for name in ("whole", "cut"))
    assert json.dumps(rows(cut)) == json.dumps(rows(whole))
    recipe("regress", "predict", "--ckpt_path=runs/regress/cut/checkpoints/last.ckpt")
    with (cut / "predictions.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    whats = ("target", "prediction", "std")
    assert list(table[0]) == ["row"] + [f"{what}_{name}" for what in whats for name in NAMES]
    assert {row["target_height"] == "" for row in table} == {True, False}


def test_a_study_of_several_is_refused(path, recipe):
    with pytest.raises(ValueError, match=r"--data.target: a study is of one target"):
        recipe("study", "fit", *FLAGS[:4], "--trainer.max_epochs=1")


def test_a_class_is_refused(tmp_path):
    (tmp_path / "c.csv").write_text("a,b\n" + "1,x\n2,y\n" * 20)
    with pytest.raises(ValueError, match=r"--data.target is a class, which recipes.classify"):
        fit(regress(1), Tabular(str(tmp_path / "c.csv")), tmp_path)
