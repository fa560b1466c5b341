"""Networks and settings that do not fit are refused before the first step, by their option."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from datamodules import Diabetes
from marks import some
from recipes.classify import Classify
from recipes.distill import Distill
from recipes.parts.fitting import check_classifier, outputs_of_data
from recipes.parts.networks import MLP, ConvNet
from trains import digits, fit, weights

SHORT = ("--trainer.max_steps=1", "--trainer.limit_val_batches=1")
MISFITS = [
    ("classify", "--model.network.outputs=7", r"^--model.network.outputs=7: --data=Digits has 10"),
    ("classify", "--model.network.inputs=3", r"^--model.network.inputs=3, .* have 1 channels$"),
    (
        "classify",
        "--model.network=MLP --model.network.inputs=10 --model.network.widths=[4]",
        r"^--model.network.inputs=10, but the data have 64 features$",
    ),
    ("classify", "--data=Diabetes", r"^--data=Diabetes: the target is a number, not a class$"),
    ("distill", "--data=Diabetes", r"^--data=Diabetes: the target is a number, not a class$"),
    ("distill", "--model.student.outputs=7", r"^--model.student.outputs=7: --data=Digits has 10"),
    ("distill", "--model.student.inputs=3", r"^--model.student.inputs=3, .* have 1 channels$"),
    ("distill", "--model.teacher.inputs=3", r"^--model.teacher.inputs=3, .* have 1 channels$"),
    ("distill", "--model.teacher.outputs=12", r"^--model.student and --model.teacher: 10 and 12 "),
    ("gan", "--model.classes=12", r"^--model.classes=12: --data=Digits has 10 classes$"),
]


@pytest.mark.parametrize(("name", "flags", "line"), some(MISFITS, 4), ids=lambda value: value[:40])
def test_misfits_are_refused_by_their_option(recipe, name, flags, line):
    if name == "gan":
        flags += " --model.generator.classes=12 --model.discriminator.classes=12"
    with pytest.raises(ValueError, match=line):
        recipe(name, "fit", *flags.split(), *SHORT)
    assert not list(Path("runs").rglob("*.ckpt")) + list(Path("runs").rglob("*.jsonl"))


OUT_OF_RANGE = [
    ("distill", "--model.alpha=2", "alpha.*a number from 0 to 1"),
    ("distill", "--model.alpha=nan", "alpha.*a number from 0 to 1"),
    ("distill", "--model.temperature=0", "temperature.*a number from 0.001 to 1000"),
    ("distill", "--model.temperature=inf", "temperature.*a number from 0.001 to 1000"),
    ("distill", "--model.temperature=1e-300", "temperature.*a number from 0.001 to 1000"),
    ("distill", "--model.loss=DKD --model.loss.alpha=-1", r"alpha.*a finite number, 0 or above"),
    ("distill", "--model.loss=DKD --model.loss.beta=inf", r"beta.*a finite number, 0 or above"),
    ("distill", "--model.loss=DIST --model.loss.gamma=inf", r"gamma.*a finite number, 0 or above"),
    ("classify", "--model.label_smoothing=1.5", "label_smoothing.*a number from 0 to below 1"),
    ("regress", "--model.loss=huber --model.delta=inf", "delta.*a finite number above 0"),
    (
        "regress",
        "--model.loss=quantile --model.quantiles=[0,0.5]",
        "quantiles.*a number between 0 and 1",
    ),
    ("gan", "--model.weight_clip=inf", "--model.weight_clip=inf"),
    (
        "gan",
        "--model.penalties+=R1 --model.penalties.weight=inf",
        "weight.*a finite number above 0",
    ),
    ("study", "--model.delta=inf", "delta.*a finite number above 0"),
    (
        "study",
        "--model.search=Grid --model.search.learning_rate=[inf]",
        "rate.*a finite number above 0",
    ),
]


@pytest.mark.parametrize(
    ("name", "flags", "line"), some(OUT_OF_RANGE, 6), ids=lambda value: value[:60]
)
def test_hyperparameters_out_of_range_are_refused_by_their_option(recipe, name, flags, line):
    """In their place, and not as a loss that is not finite later."""
    with pytest.raises((SystemExit, Exception), match=line):
        recipe(name, "fit", *flags.split(), *SHORT)
    assert not Path("runs").exists()


def test_a_network_of_ones_own_is_told_what_it_takes(tmp_path):
    """Its class may have no option of the name that ours have."""
    flat = nn.Sequential(nn.Flatten(), nn.Linear(65, 10))
    few = nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
    colour = nn.Sequential(nn.Conv2d(3, 10, 8), nn.Flatten())
    whole = nn.Conv2d(1, 10, 3)
    fixed = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(70, 10))
    for network, line in {
        flat: r"^--model.network takes 65 features, but the data have 64 features$",
        few: r"^--model.network with 7 outputs: --data=Digits has 10 classes$",
        colour: r"^--model.network takes 3 channels, but the data have 1 channels$",
        whole: r"^--model.network gives \(10, 6, 6\) for an example, not one number",
        fixed: r"^--model.network does not take inputs \(1, 8, 8\): mat1 and mat2",
    }.items():
        with pytest.raises(ValueError, match=line):
            fit(Classify(network), digits(), tmp_path)
    with pytest.raises(ValueError, match=r"^--model.network takes images, but .* a table: such as"):
        check_classifier(ConvNet([4]), set_up(Diabetes()), "predict", "--model.network")


def set_up(data):
    data.setup("fit")
    return data


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_every_command_says_so(tmp_path, stage):
    trainer = Trainer(default_root_dir=tmp_path, accelerator="cpu", logger=False)
    for module in (Classify(MLP(65, [3])), Distill(MLP(65, [3]), MLP(64, [3]))):
        with pytest.raises(ValueError, match=r"inputs=65, but the data have 64 features"):
            getattr(trainer, stage)(module, datamodule=digits())


def test_a_teacher_s_checkpoint_that_does_not_fit_is_named(tmp_path):
    _, trainer = fit(Classify(MLP(64, [3], outputs=12)), digits(), tmp_path)
    path = str(tmp_path / "teacher.ckpt")
    trainer.save_checkpoint(path)
    small, data = MLP(36, [3], outputs=12), digits()
    data.input_shape, data.setup = (1, 6, 6), lambda stage: None
    module = Distill(small, MLP(64, [3], outputs=12), teacher_checkpoint=path)
    module.trainer = trainer
    trainer.datamodule.input_shape = (1, 6, 6)
    with pytest.raises(ValueError, match=r"teacher.ckpt takes 64 features, but the data have 36 f"):
        module.setup("fit")


def test_asking_changes_nothing():
    """Neither batch-norm, nor modes, nor the random generator."""
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(64, 10))
    network[2].eval()
    before, state, modes = weights(network), torch.get_rng_state(), [n.training for n in network]
    assert outputs_of_data(network, set_up(digits()), "--model.network").shape == (2, 10)
    assert torch.equal(weights(network), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert [n.training for n in network] == modes
    assert outputs_of_data(network, None, "--model.network") is None
