"""The picture of the curves: what it keeps, and that it is drawn."""

from matplotlib.image import imread

from callbacks import Curves
from recipes.classify import Classify
from recipes.parts.networks import MLP
from trains import digits, fit


def test_curves_follow_validation_and_are_drawn(tmp_path):
    curves = Curves(["val/accuracy", "val/nothing"])
    seen = []

    class Recording(Classify):
        def on_train_epoch_end(self):
            seen.append(float(self.trainer.callback_metrics["val/accuracy"]))

    fit(Recording(MLP(64, [16])), digits(), tmp_path, [curves], max_epochs=3)
    assert curves.epochs == [0, 1, 2] and curves.values["val/accuracy"] == seen
    picture = imread(tmp_path / "curves.png")
    assert picture.shape[:2] == (480, 840)
    assert len({tuple(pixel) for row in picture for pixel in row}) > 20, "something is drawn"
    resumed = Curves(["val/accuracy", "val/nothing"])
    resumed.load_state_dict(curves.state_dict())
    assert resumed.epochs == curves.epochs


def test_a_run_that_ends_before_its_first_validation_draws_nothing(tmp_path):
    curves = Curves(["val/accuracy"])
    flags = {"max_steps": 2, "num_sanity_val_steps": 0}
    _, trainer = fit(Classify(MLP(64, [16])), digits(), tmp_path, [curves], **flags)
    assert trainer.global_step == 2 and curves.epochs == []
    assert not (tmp_path / "curves.png").exists()


def test_a_dry_run_draws_nothing(tmp_path):
    curves = Curves(["val/accuracy"])
    fit(Classify(MLP(64, [16])), digits(), tmp_path, [curves], fast_dev_run=True)
    assert not (tmp_path / "curves.png").exists()
