"""ClassReport: scikit-learn's numbers, the calibration error by its definition, the picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
import wandb
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from matplotlib.image import imread
from sklearn.metrics import classification_report

from callbacks import ClassReport
from callbacks.class_report import draw
from marks import some
from trains import rows

NAMES = ["cat", "dog, $wet$", "9"]


class Answers(LightningModule):
    """Answers what its batches hold."""

    def test_step(self, batch, batch_idx):
        probability, target = batch
        return {"target": target, "probability": probability}


class Questions(LightningDataModule):
    """Batches of probabilities and targets; the second is empty, as if no target were known."""

    def __init__(self, class_names=None, classes=3):
        super().__init__()
        self.class_names = class_names
        draw = torch.Generator().manual_seed(0)
        self.probability = torch.randn(50, classes, generator=draw).mul(2).softmax(1)
        self.target = torch.randint(classes, (50,), generator=draw)

    def test_dataloader(self):
        parts = [slice(0, 30), slice(0, 0), slice(30, 50)]
        batches = [(self.probability[part], self.target[part]) for part in parts]
        return torch.utils.data.DataLoader(batches, batch_size=None)


def evaluate(tmp_path, data, module=None, **settings):
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    settings = {"logger": False, "default_root_dir": tmp_path, **settings}
    trainer = Trainer(callbacks=[ClassReport()], **quiet, **settings)
    trainer.test(module or Answers(), datamodule=data, verbose=False)


def test_the_report_is_sklearns_by_name(tmp_path):
    data = Questions(NAMES)
    evaluate(tmp_path, data)
    expected = classification_report(
        data.target, data.probability.argmax(1), target_names=NAMES, digits=4
    )
    text = (tmp_path / "report.txt").read_text()
    assert text.startswith(expected)
    confidence, predicted = (each.numpy() for each in data.probability.max(1))
    right, error = predicted == data.target.numpy(), 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert float(text.split(":")[-1]) == pytest.approx(error, abs=1e-4)
    assert imread(tmp_path / "confusion.png").ndim == 3


def test_classes_without_names_have_numbers(tmp_path):
    evaluate(tmp_path, Questions(NAMES[:1]))
    lines = (tmp_path / "report.txt").read_text().splitlines()[2:5]
    assert [line.split()[0] for line in lines] == ["cat", "1", "2"]


def test_a_class_that_is_never_right_or_never_there_counts_as_0(tmp_path):
    data = Questions()
    data.target[:] = 0
    evaluate(tmp_path, data)
    row = (tmp_path / "report.txt").read_text().splitlines()[3].split()
    assert row == ["1", "0.0000", "0.0000", "0.0000", "0"]


def test_a_picture_is_dark_where_the_examples_are(tmp_path):
    counts = np.diag([5, 9, 0]) + np.eye(3, k=1, dtype=int)[[0, 2, 2]]
    for classes in (3, 60):  # without names and counts in it
        path = tmp_path / f"{classes}.png"
        draw(np.kron(counts, np.eye(classes // 3, dtype=int)), [*map(str, range(classes))], path)
        assert path.stat().st_size > 5000


def test_of_targets_that_are_not_known_there_is_no_report(tmp_path):
    """As of a file to test that has none; the other metrics are of no example, either."""
    data = Questions()
    data.probability, data.target = data.probability[:0], data.target[:0]
    evaluate(tmp_path, data)
    assert list(tmp_path.iterdir()) == []


class Silent(Answers):
    def test_step(self, batch, batch_idx):
        return None


@pytest.mark.parametrize("settings", [{}, {"fast_dev_run": True}])
def test_others_have_no_report(tmp_path, settings):
    module = Answers() if settings else Silent()
    evaluate(tmp_path, Questions(), module, **settings)
    assert list(tmp_path.iterdir()) == []


def test_wandb_has_both(tmp_path, monkeypatch):
    sent = {}
    for name in ("image", "text"):
        monkeypatch.setattr(
            WandbLogger, f"log_{name}", lambda self, key, *args: sent.update({key: args})
        )
    logger = WandbLogger(save_dir=tmp_path, mode="disabled")
    evaluate(tmp_path, Questions(), logger=logger)
    wandb.finish()
    assert sent["test/confusion"] == ([str(tmp_path / "confusion.png")],)
    assert sent["test/report"][1] == [[(tmp_path / "report.txt").read_text()]]


@pytest.mark.parametrize("name", some(["classify", "distill"], 1))
def test_recipes_report_after_test(name, recipe):
    """What they count is what they log."""
    small = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=4")
    recipe(name, "fit", "--name=a", *small)
    folder = Path("runs", name, "a")
    assert not (folder / "report.txt").exists()
    recipe(name, "test", f"--ckpt_path={folder}/checkpoints/last.ckpt")
    (found,) = rows(folder, "test")
    line = next(x for x in (folder / "report.txt").read_text().splitlines() if "accuracy" in x)
    assert float(line.split()[1]) == pytest.approx(found["test/accuracy"], abs=1e-4)
    assert (folder / "confusion.png").is_file()
