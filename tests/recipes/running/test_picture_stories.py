"""From a folder of photographs to predictions, a student and an exported file, as on the pages."""

import csv
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from launches import ROOT
from photos import crops
from recipes.export.__main__ import main as export
from recipes.parts.residual import CIFARResNet
from snippets import blocks

SHORT = ("--data.batch_size=16", "--trainer.max_epochs=6")


def typed(name, mark):
    """The commands of the block of a page that has a mark: (module, arguments) each."""
    found = [b for b in blocks(ROOT / "recipes" / name / "README.md", "bash") if mark in b]
    assert len(found) == 1
    lines = [shlex.split(line) for line in found[0].strip().splitlines()]
    return [(line[2].removeprefix("recipes."), line[3:]) for line in lines]


def told(commands, recipe):
    """Types commands, a fit shortened."""
    for name, arguments in commands:
        if name == "export":
            export(arguments)
        else:
            recipe(name, *arguments, *SHORT * (arguments[0] == "fit"))


@pytest.fixture
def photos():
    """Squares of two photographs, which lie in a folder each, and eight new ones of each."""
    for only, name in enumerate(("temple", "flower")):
        crops(Path("photos", name), 60, only=only)
        crops(Path("new_photos", name), 8, (90, 120), only)
    return Path("photos")


def predictions(folder):
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def right(folder):
    """The share of new pictures that were predicted right; all are there, with probabilities."""
    table = predictions(folder)
    assert len(table) == 16
    names = ["file", "prediction", "probability_flower", "probability_temple"]
    assert list(table[0]) == names
    return np.mean([Path(row["file"]).parts[0] == row["prediction"] for row in table])


def test_a_folder_is_classified(photos, recipe):
    told(typed("classify", "--data.predict=new_photos"), recipe)
    folder = Path("runs/classify/photos")
    assert right(folder) > 0.8
    assert all(name in (folder / "report.txt").read_text() for name in ("temple", "flower"))
    assert (folder / "confusion.png").is_file()


@pytest.mark.slow
def test_a_tuned_network_is_exported_and_predicts_the_same(photos, recipe):
    """From pixels as they are in the files, in a program of torch's alone."""
    fit, _, predict = typed("classify", "--data.predict=new_photos")
    told([fit], recipe)
    photos.rename("more_photos")
    told(typed("classify", "--name=tuned"), recipe)
    _, (command, _, *where) = predict
    recipe("classify", command, "--ckpt_path=runs/classify/tuned/checkpoints/best.ckpt", *where)
    program = torch.export.load("runs/classify/tuned/model.pt2").module()
    table = predictions(Path("runs/classify/tuned"))
    pixels = []
    for row in table:
        image = Image.open(Path("new_photos", row["file"]))
        pixels.append(np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)))
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    found = program(images)["probability"]
    expected = [[float(row[f"probability_{n}"]) for n in ("flower", "temple")] for row in table]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-3, rtol=0)


@pytest.mark.slow
def test_a_folder_is_distilled(photos, recipe):
    told(typed("distill", "--data.predict=new_photos")[:-1], recipe)
    assert right(Path("runs/distill/small")) > 0.8
    assert (Path("runs/distill/small") / "confusion.png").is_file()


@pytest.mark.slow
def test_a_teacher_comes_from_a_foreign_state_dict(photos, recipe):
    """As others save it: below a key, with the prefix of DataParallel."""
    teacher = CIFARResNet(8, outputs=2)
    state = {f"module.{name}": value for name, value in teacher.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 240}, "resnet8.pt")
    told(typed("distill", "--model.teacher_weights=")[-1:], recipe)
    saved = torch.load("runs/distill/of-a-file/checkpoints/last.ckpt", weights_only=True)
    assert not any(name.startswith("teacher") for name in saved["state_dict"]), "it is frozen"
    recipe("distill", "test", "--ckpt_path=runs/distill/of-a-file/checkpoints/last.ckpt")
