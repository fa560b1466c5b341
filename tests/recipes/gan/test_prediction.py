"""What `predict --count` and `--interpolate` draw, by definition and from the command line."""

import csv
import os
import platform
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from datamodules import Digits
from datamodules.drawn import Drawn, slerp

GAME = """
model:
  generator: {class_path: MLPGenerator, init_args: {latent: 8, widths: [16], shape: [1, 8, 8]}}
  discriminator: {class_path: MLPDiscriminator, init_args: {inputs: 64, widths: [16]}}
  latent: 8
data: {class_path: Digits}
trainer: {max_steps: 2}
"""


def test_an_interpolation_keeps_the_length_and_its_ends():
    one, other = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0)).double()
    one, other = (3 * end / end.norm(dim=1, keepdim=True) for end in (one, other))
    angles = torch.arccos((one * other).sum(1) / 9)
    for share in (0.0, 0.25, 1.0):
        found = slerp(one, other, torch.full((5,), share))
        torch.testing.assert_close(found.norm(dim=1), torch.full_like(angles, 3))
        torch.testing.assert_close(
            torch.arccos((found * one).sum(1).clamp(max=9) / 9), share * angles, atol=1e-6, rtol=0
        )
    same = slerp(one, one, torch.full((5,), 0.3))
    torch.testing.assert_close(same, one)


def test_a_latent_is_a_function_of_seed_and_number():
    """Whatever is drawn beside it."""
    whole, labels = Drawn(200).latents(torch.arange(200), 6, 3, seed=1)
    part, few = Drawn(90).latents(torch.tensor([88, 3]), 6, 3, seed=1)
    assert torch.equal(part, whole[[88, 3]]) and few.tolist() == [88 % 3, 0]
    assert labels.tolist() == [n % 3 for n in range(200)]
    assert len(whole.unique(dim=0)) == 200 and abs(whole.std() - 1) < 0.1
    assert not torch.equal(whole, Drawn(200).latents(torch.arange(200), 6, None, seed=2)[0])


def test_rows_lead_from_one_latent_to_another():
    data = Drawn(None, 5)
    assert data.count == 40
    found, labels = data.latents(torch.arange(40), 6, 4, seed=0)
    rows = found.unflatten(0, (8, 5))
    assert labels.unflatten(0, (8, 5)).tolist() == [[row % 4] * 5 for row in range(8)]
    half = slerp(rows[:, 0], rows[:, -1], torch.full((8,), 0.5))
    torch.testing.assert_close(rows[:, 2], half)
    assert len(rows[:, [0, -1]].flatten(0, 1).unique(dim=0)) == 16, "no end is used twice"


@pytest.fixture
def game(recipe):
    Path("game.yaml").write_text(GAME)
    recipe("gan", "fit", "--config=game.yaml", "--name=a")
    return Path("runs/gan/a")


def test_images_are_drawn_without_data(game, recipe, monkeypatch):
    monkeypatch.setattr(Digits, "setup", None)
    predict = ("gan", "predict", f"--ckpt_path={game}/checkpoints/last.ckpt")
    recipe(*predict, "--count=70")
    many = np.load(game / "sample.npy")
    assert many.shape == (70, 1, 8, 8) and len(list((game / "generated").iterdir())) == 70
    (game / "generated/mine.png").touch()
    recipe(*predict, "--count=9")
    (game / "generated/mine.png").unlink()  # which has stayed
    few = np.load(game / "sample.npy")
    np.testing.assert_allclose(few, many[:9], atol=1e-6)
    assert sorted(p.name for p in (game / "generated").iterdir()) == [f"{n}.png" for n in range(9)]
    assert np.abs(imread(game / "generated/4.png")[..., 0] - few[4, 0]).max() < 0.6 / 255
    Path("there").mkdir()
    recipe(*predict, "--interpolate=3", "--count=2", "--output=there/table.csv")
    assert sorted(p.name for p in Path("there").iterdir()) == ["interpolation.png", "sample.npy"]
    assert np.load("there/sample.npy").shape == (6, 1, 8, 8)
    left = [path for path in Path().rglob("*partial*")]
    assert not left and (game / "generated").exists()


def test_what_a_killed_prediction_has_left_is_removed(game, recipe):
    gone, alive = (f"generated.{platform.node()}-{pid}.partial" for pid in (2**22, os.getppid()))
    for name in (gone, alive, "generated.elsewhere-1.partial"):
        (game / name).mkdir()
        (game / name / "0.png").touch()
    recipe("gan", "predict", f"--ckpt_path={game}/checkpoints/last.ckpt", "--count=2")
    left = sorted(path.name for path in game.glob("generated*"))
    assert left == sorted(["generated", alive, "generated.elsewhere-1.partial"])


@pytest.mark.slow
def test_points_are_drawn_to_the_table(recipe):
    sizes = ("--model.generator.widths=[4]", "--model.discriminator.widths=[4]")
    recipe("gan", "fit", "--config=ring", "--name=a", *sizes, "--trainer.max_steps=2")
    predict = ("gan", "predict", "--ckpt_path=runs/gan/a/checkpoints/last.ckpt")
    recipe(*predict, "--count=70")
    with open("runs/gan/a/samples.csv", newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == ["sample_0", "sample_1"] and len(table) == 71
    assert not Path("runs/gan/a/generated").exists()
    with pytest.raises(
        ValueError, match=r"^--interpolate draws grey or RGB images: these are \(2,"
    ):
        recipe(*predict, "--interpolate=3")
    with pytest.raises(ValueError, match="--interpolate=1 must be a whole number, 2 or above"):
        recipe(*predict, "--interpolate=1")
