"""WorstMistakes: which pictures, in which order, with what above them."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from matplotlib.image import imread

import callbacks.worst_mistakes
from callbacks import WorstMistakes
from datamodules.loading.loader import Loader, Table
from datamodules.loading.missing import MISSING, is_known
from forks import Forked, ended_well, ranks
from marks import slow
from photos import class_folders

NAMES = ["cat", "dog, $wet$", "a bird of paradise in flight"]
COUNT = 50


class Answers(LightningModule):
    """Answers what the pictures hold: row n's first pixel is n / 100."""

    def test_step(self, batch, batch_idx):
        _, targets, probability = batch
        known = is_known(targets)
        return {"target": targets[known], "probability": probability[known]}


class Rows(Table):
    def __init__(self, shape):
        draw = torch.Generator().manual_seed(0)
        self.images = torch.rand(COUNT, *shape, generator=draw)
        self.probability = torch.randn(COUNT, 3, generator=draw).mul(2).softmax(1)
        self.targets = torch.randint(3, (COUNT,), generator=draw)
        self.targets[::7] = MISSING

    def __len__(self):
        return COUNT

    def gather(self, rows, epoch):
        return self.images[rows], self.targets[rows], self.probability[rows]


class Questions(LightningDataModule):
    class_names = NAMES

    def __init__(self, shape=(3, 6, 6)):
        super().__init__()
        self.table = Rows(shape)

    def test_dataloader(self):
        return Loader(self.table, 8)


class Named(Questions):
    def identifiers(self, rows):
        return [f"some/folder/of/{row:03}.png" for row in rows.tolist()]


def evaluate(tmp_path, data, count=12, module=None, **settings):
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    settings = {"logger": False, "default_root_dir": tmp_path, **settings}
    worst = WorstMistakes(count)
    trainer = Trainer(callbacks=[worst], **quiet, **settings)
    trainer.test(module or Answers(), datamodule=data, verbose=False)
    return worst.worst


def expected(table):
    """By the definition: wrong, and by the probability of what was predicted."""
    sure, predicted = table.probability.max(1)
    wrong = [
        (-sure[row].item(), row, int(table.targets[row]), int(predicted[row]))
        for row in range(COUNT)
        if table.targets[row] not in (MISSING, predicted[row])
    ]
    return sorted(wrong)


@pytest.mark.parametrize("count", [3, 12, slow(100)])
def test_they_are_the_surest_of_the_wrong_ones(tmp_path, count):
    data = Questions()
    found = evaluate(tmp_path, data, count)
    rows = [(-each.probability, each.row, each.true, each.predicted) for each in found]
    assert rows == expected(data.table)[:count] and len(rows) > 2
    assert all(torch.equal(each.image, data.table.images[each.row]) for each in found)
    height, width = imread(tmp_path / "mistakes.png").shape[:2]
    assert (width > height) == (count < 36)


@pytest.mark.parametrize(
    ("data", "called"), [(Questions, "test row {}"), (Named, "some/folder/of/{:03}.png")]
)
def test_a_picture_says_its_file_and_both_classes(tmp_path, monkeypatch, data, called):
    above = []
    monkeypatch.setattr(callbacks.worst_mistakes, "draw", lambda _, texts, __: above.extend(texts))
    found = evaluate(tmp_path, data())
    for text, each in zip(above, found, strict=True):
        file, true, predicted = text.split("\n")
        assert file == called.format(each.row)
        assert NAMES[each.true].endswith(true.removesuffix(", taken for").lstrip("…"))
        name, share = predicted.rsplit(" ", 1)
        assert NAMES[each.predicted].endswith(name.lstrip("…")) and len(name) <= 20
        assert share == f"{100 * each.probability:.1f}%"


class Silent(Answers):
    def test_step(self, batch, batch_idx):
        return None


@pytest.mark.parametrize(
    ("module", "shape", "settings"),
    [(Silent, (3, 6, 6), {}), (Answers, (4,), {}), (Answers, (3, 6, 6), {"fast_dev_run": True})],
)
def test_others_have_no_picture(tmp_path, module, shape, settings):
    evaluate(tmp_path, Questions(shape), module=module(), **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_an_earlier_test_does_not_stay(tmp_path):
    data = Questions((1, 6, 6))
    evaluate(tmp_path, data)
    assert (tmp_path / "mistakes.png").is_file()
    data.table.targets = data.table.probability.argmax(1)
    assert evaluate(tmp_path, data) == [] and list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_processes_draw_the_same(recipe):
    class_folders("photos")
    flags = ("--data=ImageFolder", "--data.path=photos", "--data.size=8", "--data.test_size=0.5")
    recipe("classify", "fit", "--name=a", *flags, "--data.batch_size=4", "--trainer.max_epochs=1")
    last = "runs/classify/a/checkpoints/last.ckpt"
    path = Path("runs/classify/a/mistakes.png")
    ended_well(Forked("recipes.classify", "test", f"--ckpt_path={last}"))  # which draws it
    one = path.read_bytes()
    path.unlink()
    two = ("--trainer.strategy=ddp", "--trainer.devices=2", "--trainer.accelerator=cpu")
    ended_well(*ranks(2, "recipes.classify", "test", f"--ckpt_path={last}", *two))
    assert path.read_bytes() == one
