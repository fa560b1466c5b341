"""Samples as pictures: what is where, when they are drawn, and that training stays the same."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger
from matplotlib.figure import Figure
from matplotlib.image import imread
from torch import nn

from callbacks import EMA
from callbacks.ema import averaged
from callbacks.samples import PICTURES, Samples
from datamodules import Ring
from datamodules.loading.loader import keyed_generator
from marks import slow
from recipes.gan import GAN
from recipes.parts.pictures import BACKGROUND, GAP, grid, scatter
from recipes.running.cli import main
from trains import digits, rows

BATCHES = 8


class Maker(LightningModule):
    """Generates from latents, with noise of its own, and learns from noise."""

    def __init__(self, shape=(1, 8, 8), classes=None):
        super().__init__()
        torch.manual_seed(1)
        self.generator = nn.Sequential(
            nn.Linear(4, int(np.prod(shape))), nn.Sigmoid(), nn.Unflatten(1, shape)
        )
        self.classes = classes

    def draw(self, count, *key):
        labels = torch.arange(count) % self.classes if self.classes else None
        return torch.randn(count, 4, generator=keyed_generator(*key)), labels

    @torch.no_grad()
    def sample(self, latents, labels=None):
        return self.generator(latents + 0.1 * torch.randn_like(latents))

    def training_step(self, batch, batch_idx):
        loss = (self.generator(torch.randn(16, 4)) - 0.3).square().mean()
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.1)


class Cut(Callback):
    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == 7:
            raise MemoryError


def ring(**kwargs):
    return Ring(samples=512, val_samples=100, batch_size=64, **kwargs)


def train(folder, *callbacks, data=None, module=None, checkpoint=None, **kwargs):
    module = module or Maker()
    torch.manual_seed(5)
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **{"max_steps": BATCHES, "logger": False, "enable_checkpointing": False, **kwargs},
    )
    trainer.fit(module, datamodule=data or digits(), ckpt_path=checkpoint)
    return module, trainer


def ema():
    return EMA("generator", half_life=20)


def pictures(folder):
    """The bytes of all pictures, by name."""
    return {path.name: path.read_bytes() for path in folder.glob("samples/*")}


def test_a_grid_has_each_image_at_its_place():
    images = torch.linspace(0, 1, 3 * 2 * 5).view(3, 1, 2, 5)
    picture = grid(images, 2)
    factor = 50
    assert picture.shape == (2 * 2 * factor + GAP, 2 * 5 * factor + GAP, 1)
    expected = np.full_like(picture, BACKGROUND)
    for image, (top, left) in zip(images, [(0, 0), (0, 252), (102, 0)], strict=True):
        pixels = np.kron((image[0] * 255).round().byte().numpy(), np.ones((50, 50), np.uint8))
        expected[top : top + 100, left : left + 250, 0] = pixels
    assert np.array_equal(picture, expected)


def test_large_images_keep_their_size_and_colours_their_order():
    images = torch.rand(2, 3, 4, 400, generator=keyed_generator(1))
    images[0, 0, 0, :2] = torch.tensor([-0.5, 1.5])
    picture = grid(images, 2)
    assert picture.shape == (4, 800 + GAP, 3)
    right = (images[1] * 255).round().permute(1, 2, 0)
    assert np.array_equal(picture[:, 400 + GAP :], right)
    assert picture[0, :2, 0].tolist() == [0, 255], "beyond [0, 1]"


def test_images_of_other_channels_are_refused():
    with pytest.raises(ValueError, match="2 channels"):
        grid(torch.zeros(1, 2, 8, 8), 8)


def test_points_are_drawn_in_the_range_of_the_real_ones(tmp_path, monkeypatch):
    figures = []

    class Kept(Figure):
        def savefig(self, *args, **kwargs):
            figures.append(self)
            super().savefig(*args, **kwargs)

    monkeypatch.setattr("recipes.parts.pictures.Figure", Kept)
    real = torch.tensor([[-1.0, 0.0], [1.0, 0.5]])
    samples = torch.tensor([[0.0, 0.0], [1.3, 0.0], [0.0, -9.0], [float("nan"), 0.0]])
    scatter(samples, real, tmp_path / "points.png", "after 3 batches")
    assert imread(tmp_path / "points.png").shape[:2] == (500, 900)
    assert [path.name for path in tmp_path.iterdir()] == ["points.png"]
    left, right = figures[0].axes
    for axes in (left, right):
        assert axes.get_xlim() == pytest.approx((-1.2, 1.2))
        assert axes.get_ylim() == pytest.approx((-0.2, 0.7))
        assert axes.get_aspect() == 1
    assert (left.get_title(), right.get_title()) == ("2 real", "4 generated, 3 outside")
    assert figures[0].get_suptitle() == "after 3 batches"
    drawn = right.lines[-1].get_xydata()
    np.testing.assert_array_equal(drawn, samples)


def test_pictures_are_of_the_weights_and_their_average(tmp_path):
    module, trainer = train(tmp_path, ema(), Samples(every="3ba", count=6, columns=3))
    found = pictures(tmp_path)
    expected = [f"000000{step}{kind}.png" for step in (3, 6, 8) for kind in ("", "-ema")]
    assert sorted(found) == sorted(expected)
    assert len(set(found.values())) == 6
    assert (tmp_path / "samples.png").read_bytes() == found["0000008-ema.png"]
    with averaged(trainer, module):
        torch.manual_seed(PICTURES)
        shown = grid(module.sample(*module.draw(6, PICTURES)), 3)
    picture = imread(tmp_path / "samples.png")[..., :3]
    np.testing.assert_array_equal((picture * 255).round(), np.broadcast_to(shown, picture.shape))


def test_the_order_of_callbacks_does_not_matter(tmp_path):
    train(tmp_path / "one", ema(), Samples("3ba"))
    train(tmp_path / "two", Samples("3ba"), ema())
    assert len(pictures(tmp_path / "one")) == 6
    assert pictures(tmp_path / "one") == pictures(tmp_path / "two")


def test_without_an_average_the_weights_are_drawn(tmp_path):
    train(tmp_path, Samples())
    found = pictures(tmp_path)
    assert found.keys() == {"0000008.png"}, "an epoch is longer than the run"
    assert (tmp_path / "samples.png").read_bytes() == found["0000008.png"]
    assert imread(tmp_path / "samples.png").shape[:2] == (526, 526), (
        "8 x 8 digits, enlarged 8 times"
    )


def test_a_column_is_a_class(tmp_path):
    train(tmp_path, Samples(every=0), module=Maker(classes=10), max_steps=1)
    assert pictures(tmp_path).keys() == {"0000001.png"}
    shape = imread(tmp_path / "samples.png").shape[:2]
    assert shape == (7 * 48 + 6 * GAP, 10 * 48 + 9 * GAP), "64 images, and what fills the last row"


@pytest.mark.parametrize("points", [False, slow(True)])
def test_a_resumed_run_draws_the_same(tmp_path, points):
    def run(name, *callbacks, **kwargs):
        settings = {"data": ring(), "module": Maker((2,))} if points else {}
        train(tmp_path / name, *callbacks, Samples("3ba"), ema(), **settings, **kwargs)
        return pictures(tmp_path / name)

    class Keyed(Callback):  # noise that does not depend on where the run was cut
        def on_train_batch_start(self, trainer, *args):
            torch.manual_seed(trainer.global_step)

    whole = run("whole", Keyed())
    saver = ModelCheckpoint(tmp_path, "middle", every_n_train_steps=6)
    with pytest.raises(MemoryError):
        run("cut", Keyed(), Cut(), saver, enable_checkpointing=True)
    assert pictures(tmp_path / "cut") == {k: v for k, v in whole.items() if "8" not in k}
    resumed = run("resumed", Keyed(), checkpoint=tmp_path / "middle.ckpt")
    assert resumed == {k: v for k, v in whole.items() if "3" not in k}


@pytest.mark.parametrize("data", [digits, slow(ring)])
def test_training_is_the_same_bit_by_bit(tmp_path, data):
    shape = (1, 8, 8) if data is digits else (2,)
    found = []
    for extra in ([], [Samples("2ba"), ema()]):
        module, _ = train(tmp_path, *extra, data=data(), module=Maker(shape))
        found.append((*module.parameters(), torch.get_rng_state()))
    assert pictures(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_dry_run_draws_nothing(tmp_path):
    train(tmp_path, Samples("1ba"), fast_dev_run=2)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_drawn_is_refused_before_training(tmp_path):
    class Pairs(Ring):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            return batch[0].repeat(1, 2), batch[1]

    with pytest.raises(ValueError, match=r"points, grey and RGB images, not \(4,\)"):
        train(tmp_path, Samples(), data=Pairs(samples=64, batch_size=64))


def test_points_without_validation_are_shown_beside_those_for_training(tmp_path, monkeypatch):
    shown = []

    def kept(samples, real, *args):
        shown.append(real)
        scatter(samples, real, *args)

    class TrainingOnly(Ring):
        def val_dataloader(self):
            return []

    monkeypatch.setattr("callbacks.samples.scatter", kept)
    data = TrainingOnly(samples=512, batch_size=64)
    train(tmp_path, Samples(every=0, count=90), data=data, module=Maker((2,)))
    points = torch.cat([inputs for inputs, _ in data.train_dataloader()])[:90]
    assert torch.equal(shown[0], points)


def test_wandb_has_the_pictures_at_the_steps_of_their_batches(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    settings = {"settings": {"silent": True, "console": "off"}}
    logger = WandbLogger(save_dir=tmp_path, offline=True, **settings)
    train(tmp_path, Samples("2ba"), ema(), logger=logger, max_steps=3, log_every_n_steps=1)
    logger.experiment.finish()
    (stored,) = tmp_path.glob("wandb/offline-run-*")
    command = [Path(sys.executable).parent / "wandb", "leet", "inspect", "--json", stored]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    records = map(json.loads, done.stdout.splitlines())
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    trained = [row["trainer/global_step"] for row in history if "train/loss" in row]
    assert trained == [0, 1, 2]
    for kind in ("raw", "ema"):
        key = f"samples/{kind}"
        found = [row for row in history if f"{key}._type" in row]
        assert [row["trainer/global_step"] for row in found] == [trained[1], trained[2]]
        for row, step in zip(found, (2, 3), strict=True):
            drawn = tmp_path / "samples" / f"000000{step}{'-ema' if kind == 'ema' else ''}.png"
            (name,) = row[f"{key}.filenames"]
            assert (stored / "files" / name).read_bytes() == drawn.read_bytes()


@pytest.mark.slow
def test_the_documented_snippet_runs_and_every_argument_is_described(recipe, tmp_path, capsys):
    (snippet,) = re.findall(r"```yaml\n(.*?)```", inspect.getdoc(Samples), re.DOTALL)
    path = tmp_path / "snippet.yaml"
    path.write_text(yaml.safe_dump({"trainer": {"callbacks": yaml.safe_load(snippet)}}))
    recipe(
        "gan",
        "fit",
        "--config=digits",
        f"--config={path}",
        "--trainer.max_epochs=1",
        "--name=drawn",
    )
    folder = Path("runs/gan/drawn")
    assert (folder / "samples.png").is_file() and len(rows(folder)) > 0
    with pytest.raises(SystemExit):
        main(GAN, ["fit", "--trainer.callbacks.help=Samples"])
    text = capsys.readouterr().out
    for argument in ("every", "count", "columns"):
        assert re.search(rf"--trainer.callbacks.{argument} \S+\s+[a-z]", text)
