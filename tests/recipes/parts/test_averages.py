"""Whoever uses a checkpoint uses the weights that its own run evaluated."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from callbacks import EMA
from marks import some
from recipes.classify import Classify
from recipes.distill.teacher import load_teacher
from recipes.parts.averages import evaluated_weights, read_evaluated
from recipes.parts.evaluation.extractor import Extractor
from recipes.parts.networks import ConvNet
from trains import digits, fit, rows

RUN = Path("runs/classify/averaged")
FILES = ("last", "weights")  # the whole state, and the weights alone
AVERAGED = ("--trainer.callbacks+=EMA", "--trainer.callbacks.module=network")
AVERAGED += ("--trainer.callbacks.half_life=20", "--trainer.callbacks+=ModelCheckpoint")
AVERAGED += ("--trainer.callbacks.save_weights_only=true", "--trainer.callbacks.filename=weights")
AVERAGED += (f"--trainer.callbacks.dirpath={RUN}/checkpoints", "--model.network.channels=[4]")


@pytest.fixture
def loss(recipe):
    """What the last validation of a run with EMA has found."""
    recipe("classify", "fit", "--name=averaged", "--trainer.max_epochs=2", *AVERAGED)
    return rows(RUN)[-1]["val/loss"]


def read(name):
    return torch.load(RUN / f"checkpoints/{name}.ckpt", weights_only=True)


def validation_loss(network):
    data = digits()
    data.setup("fit")
    inputs, targets = map(torch.cat, zip(*data.val_dataloader(), strict=True))
    with torch.no_grad():
        return F.cross_entropy(
            network.eval()(data.on_after_batch_transfer((inputs, targets), 0)[0]), targets
        )


@pytest.mark.parametrize("name", some(FILES, 1))
@pytest.mark.parametrize("place", some(["its run", "alone"], ["alone"]))
def test_the_command_line_evaluates_the_average(loss, recipe, name, place):
    path = RUN / f"checkpoints/{name}.ckpt"
    if place == "alone":  # its callbacks are then those of the recipe's own config
        path = Path(shutil.copy(path, "alone.ckpt"))
    recipe("classify", "validate", f"--ckpt_path={path}")
    (file,) = Path().rglob("validate.jsonl")
    (row,) = rows(file.parent, "validate")
    assert row["val/loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("name", some(FILES, 1))
def test_teachers_and_extractors_have_the_average(loss, name):
    path = str(RUN / f"checkpoints/{name}.ckpt")
    found = [load_teacher(ConvNet([4]), path), load_teacher(None, path)]
    extractor = Extractor(path)
    found.append(nn.Sequential(extractor.features, nn.Flatten(), extractor.head))
    for network in found:
        assert validation_loss(network) == pytest.approx(loss, rel=1e-5)
    stock = Classify.load_from_checkpoint(path).network
    is_same = validation_loss(stock).item() == pytest.approx(loss, rel=1e-2)
    assert is_same is (name == "weights"), "the negative control: the weights as they are trained"


def test_the_file_of_the_weights_alone_says_what_it_holds(loss):
    saved, whole = read("weights"), read("last")
    assert saved["averaged"] == ["network"] and "callbacks" not in saved
    assert "averaged" not in whole
    average = whole["callbacks"]["EMA{network}"]["average"]
    for name, value in average.items():
        assert torch.equal(saved["state_dict"][f"network.{name}"], value)
    assert set(saved["state_dict"]) == set(whole["state_dict"])


def test_a_file_of_the_weights_alone_changes_nothing_in_training(loss, recipe):
    recipe("classify", "fit", "--name=other", "--trainer.max_epochs=2", *AVERAGED[:3], AVERAGED[-1])
    one = torch.load("runs/classify/other/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, one[name]) for name, value in read("last")["state_dict"].items())


def test_a_checkpoint_without_an_average_is_what_it_is(tmp_path):
    module, trainer = fit(Classify(ConvNet([4])), digits(), tmp_path)
    for weights_only in (True, False):
        trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only)
        weights = read_evaluated(str(tmp_path / "a.ckpt"), "--it")["state_dict"]
        for name, value in module.state_dict().items():
            assert torch.equal(weights[name], value)


class Tied(nn.Module):
    """Two layers with one weight, and a buffer that is not saved."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(64, 64), nn.Linear(64, 64, bias=False)
        self.decoder.weight = self.encoder.weight
        self.register_buffer("scale", torch.ones(()), persistent=False)
        self.head = nn.Linear(64, 10)

    def forward(self, inputs):
        return self.head(self.decoder(self.encoder(inputs.flatten(1)).relu() * self.scale))


@pytest.mark.parametrize("buffers", ["average", "copy"])
def test_both_names_of_a_shared_weight_have_the_average(tmp_path, buffers):
    ema = EMA("network", 5, buffers)
    _, trainer = fit(Classify(Tied()), digits(), tmp_path, [ema])
    for weights_only in (True, False):
        trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only)
        weights = read_evaluated(str(tmp_path / "a.ckpt"), "--it")["state_dict"]
        for name in ("encoder", "decoder"):
            assert torch.equal(weights[f"network.{name}.weight"], ema.average["encoder.weight"])


def test_averages_of_two_modules_are_each_in_their_place():
    weights = {"a.w": torch.zeros(2), "b.w": torch.ones(2, dtype=torch.bfloat16)}
    states = {
        f"EMA{{{m}}}": {"average": {"w": torch.full((2,), v)}} for m, v in (("a", 3.0), ("b", 4.0))
    }
    found = evaluated_weights({"state_dict": weights, "callbacks": {**states, "Totals": {"n": 1}}})
    assert found["a.w"].tolist() == [3, 3] and found["b.w"].tolist() == [4, 4]
    assert found["b.w"].dtype == torch.bfloat16 and weights["a.w"].tolist() == [0, 0]


def test_weights_of_a_training_that_diverged_are_refused(tmp_path):
    _, trainer = fit(Classify(ConvNet([4])), digits(), tmp_path)
    trainer.save_checkpoint(path := tmp_path / "a.ckpt")
    saved = torch.load(path, weights_only=True)
    saved["state_dict"]["network.features.1.running_var"][0] = torch.inf
    torch.save(saved, path)
    for use in (lambda: load_teacher(ConvNet([4]), str(path)), lambda: Extractor(str(path))):
        with pytest.raises(
            ValueError, match=r"a\.ckpt: network.features.1.running_var is not fini"
        ):
            use()
