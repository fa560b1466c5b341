"""The picture of the curves: what it keeps, that nothing is cut off, and its labels."""

import json

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from callbacks import Curves, Totals
from callbacks.curves import MOST
from recipes.classify import Classify
from recipes.parts.networks import MLP
from trains import digits, fit


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved."""
    saved, save = [], Figure.savefig

    def savefig(figure, *args, **options):
        saved.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return saved


def test_curves_follow_validation_and_training_and_are_drawn(tmp_path, figures):
    curves = Curves(["val/accuracy", "val/nothing"])
    seen, losses = [], []

    class Recording(Classify):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            losses.append(float(outputs["loss"]))

        def on_train_epoch_end(self):
            seen.append(float(self.trainer.callback_metrics["val/accuracy"]))

    flags = {"max_epochs": 3, "log_every_n_steps": 2}
    _, trainer = fit(Recording(MLP(64, [16])), digits(), tmp_path, [curves], **flags)
    count = trainer.num_training_batches
    assert curves.points["val/accuracy"] == ([1, 2, 3], seen)
    epochs, values = curves.points["train/loss"]
    assert values == losses[1::2] and epochs == pytest.approx(
        [(i + 1) / count for i in range(1, 3 * count, 2)]
    )
    picture = imread(tmp_path / "curves.png")
    assert picture.shape[:2] == (480, 1440)
    (figure,) = figures
    metrics, loss = figure.axes[:2]
    assert metrics.get_ylabel() == "accuracy (share)" and loss.get_ylabel() == "loss"
    assert {axes.get_xlabel() for axes in (metrics, loss)} == {"epochs"}
    for axes, shown in ((metrics, seen), (loss, values + curves.points["val/loss"][1])):
        low, high = axes.get_ylim()
        assert low < min(shown) and max(shown) < high
        assert axes.get_xlim()[0] <= 1
    assert [text.get_text() for text in loss.texts] == [
        f"training {values[-1]:.4g}",
        f"validation {curves.points['val/loss'][1][-1]:.4g}",
    ]
    resumed = Curves(["val/accuracy", "val/nothing", "val/errors"])
    resumed.load_state_dict(json.loads(json.dumps(curves.state_dict())))
    assert resumed.points["val/accuracy"] == ([1, 2, 3], seen)
    assert resumed.points["val/errors"] == ([], [])


def test_a_validation_within_an_epoch_is_at_its_place(tmp_path):
    curves = Curves(["val/accuracy"])
    _, trainer = fit(
        Classify(MLP(64, [16])), digits(), tmp_path, [curves], max_epochs=1, val_check_interval=3
    )
    count = trainer.num_training_batches
    expected = [step / count for step in range(3, count + 1, 3)]
    assert curves.points["val/accuracy"][0] == pytest.approx(expected)


def test_a_long_run_keeps_its_first_and_last_points():
    curves = Curves(["val/accuracy"])
    trainer = type("Trainer", (), {"is_global_zero": True, "callback_metrics": {"train/loss": 1.0}})
    trainer.num_training_batches = float("inf")
    for step in range(10 * MOST):
        trainer.global_step = step
        curves._take(trainer, "train/")
    steps = curves.points["train/loss"][0]
    assert MOST / 2 <= len(steps) <= MOST and steps[0] == 0 and steps[-1] >= 10 * MOST - 20


def test_a_run_that_ends_before_its_first_validation_draws_nothing(tmp_path):
    curves = Curves(["val/accuracy"])
    flags = {"max_steps": 2, "num_sanity_val_steps": 0}
    _, trainer = fit(Classify(MLP(64, [16])), digits(), tmp_path, [curves], **flags)
    assert trainer.global_step == 2 and curves.points["val/accuracy"] == ([], [])
    assert not (tmp_path / "curves.png").exists()


def test_a_dry_run_draws_nothing(tmp_path):
    curves = Curves(["val/accuracy"])
    fit(Classify(MLP(64, [16])), digits(), tmp_path, [curves], fast_dev_run=True)
    assert not (tmp_path / "curves.png").exists()


def test_curves_over_another_metric_and_without_losses(tmp_path, figures):
    curves = Curves(["val/accuracy"], over="samples", losses=False)
    _, trainer = fit(Classify(MLP(64, [16])), digits(), tmp_path, [Totals(), curves], max_epochs=2)
    batches = trainer.num_training_batches
    assert curves.points["val/accuracy"][0] == [64 * batches, 2 * 64 * batches]
    (figure,) = figures
    assert [axes.get_xlabel() for axes in figure.axes] == ["samples"]
