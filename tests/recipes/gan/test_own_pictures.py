"""A folder of photographs without labels, as on the page: trained, evaluated, drawn from."""

import json
import shlex
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from forks import Forked, until
from launches import ROOT, difference, weights
from photos import crops
from snippets import blocks
from trains import rows

SMALL = ("--data.batch_size=16", "--data.val_size=8", "--trainer.max_epochs=1")


def typed():
    """The commands of the page: fit, predict --count, predict --interpolate."""
    page = ROOT / "recipes/gan/README.md"
    (story,) = [block for block in blocks(page, "bash") if "--data.path=photos" in block]
    lines = [shlex.split(line) for line in story.strip().splitlines()]
    assert all(line[:3] == ["python", "-m", "recipes.gan"] for line in lines) and len(lines) == 3
    return [line[3:] for line in lines]


@pytest.mark.slow
def test_photographs_are_trained_on_and_drawn_from(recipe):
    photos = crops("photos", 40)
    fit, draw, lead = typed()
    recipe("gan", *fit, *SMALL)
    folder = Path("runs/gan/mine")
    (row,) = [row for row in rows(folder) if "val/kid_pixels" in row]
    shares = ("precision", "recall", "coverage")
    assert all(
        0 <= row[f"val/{share}_pixels{end}"] <= 1 for share in shares for end in ("", "_floor")
    )
    assert 0 < row["val/fid_pixels_floor"] < row["val/fid_pixels"]
    facts = json.loads((folder / "evaluation.json").read_text())
    assert facts["projection"].startswith("12,288 features are compared by 256")
    photos.rename("elsewhere")
    recipe("gan", *draw)
    pictures = [imread(path)[..., :3] for path in sorted((folder / "generated").iterdir())]
    samples = np.load(folder / "sample.npy")
    assert samples.shape == (64, 3, 64, 64) and len(pictures) == 64
    np.testing.assert_allclose(pictures, samples.transpose(0, 2, 3, 1), atol=0.5 / 255 + 1e-6)
    assert len(np.unique(samples.reshape(64, -1), axis=0)) == 64
    recipe("gan", *lead)
    grid = imread(folder / "interpolation.png")
    assert grid.shape[:2] == (8 * 64 + 7 * 2, 8 * 64 + 7 * 2), "8 rows of 8, and the gaps"


QUALITY = """
from pathlib import Path

import torch

from recipes.parts.evaluation import ImageQuality


class Endless(ImageQuality):
    def compute(self):
        if Path("runs/gan/cut/checkpoints/last.ckpt").exists() and not Path("asked").exists():
            Path("asked").touch()
            torch.linalg.eigvals(torch.rand(5000, 5000, dtype=torch.double))  # minutes
        return super().compute()
"""
SHORT = (
    *("--data=ImageFolder", "--data.path=photos", "--data.size=16", "--trainer.max_epochs=3"),
    *("--data.batch_size=16", "--data.val_size=8", "--model.generator.channels=[8]"),
    *("--model.discriminator.channels=[8]", "--model.evaluation=endless.Endless"),
)


@pytest.mark.slow
def test_an_evaluation_is_ended_by_a_signal_and_the_run_goes_on():
    """Also within one long call of torch, which Python's handlers wait for."""
    crops("photos", 40, (16, 32))
    Path("endless.py").write_text(QUALITY)
    run = Forked("recipes.gan", "fit", "--name=cut", *SHORT)
    until(lambda: Path("asked").exists() or run.poll() is not None)
    time.sleep(0.5)
    start = time.monotonic()
    run.send_signal(signal.SIGTERM)
    assert run.wait() == 143, run.output()
    assert time.monotonic() - start < 15  # 6 s, and those of a loaded machine
    last = "--ckpt_path=runs/gan/cut/checkpoints/last.ckpt"
    for flags in (["fit", last], ["fit", "--name=whole", *SHORT]):
        run = Forked("recipes.gan", *flags)
        assert run.wait() == 0, run.output()
    assert difference(*(weights(Path("runs/gan", name)) for name in ("cut", "whole"))) == 0
