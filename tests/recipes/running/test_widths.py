"""Sizes of networks come from the data where the user gives none."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from marks import slow
from recipes.parts.fitting import count_classes
from recipes.parts.keys import dotted
from recipes.running.commands import resolved

SHORT = (
    *("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--name=a"),
    *("--trainer.enable_model_summary=false", "--trainer.limit_val_batches=1"),
)
NET = "test_widths_net.Net"


class Net(nn.Module):
    """A network of the user's own, which must be told its sizes."""

    def __init__(self, inputs: int, outputs: int, hidden: int = 3, width: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers(inputs)


@pytest.fixture
def own(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "test_widths_net", sys.modules[__name__])
    monkeypatch.setattr(Net, "__module__", "test_widths_net")


@pytest.fixture
def table():
    lines = ["a,b,c,y", *(f"{i},{i * i % 7},{i % 3},{i % 5}" for i in range(60))]
    Path("own.csv").write_text("\n".join(lines))
    return ("--data=Tabular", "--data.path=own.csv", "--data.batch_size=8")


def config(name):
    return dotted(yaml.safe_load(Path("runs", name, "a/config.yaml").read_text()))


def sizes(name, network="network"):
    found = config(name)
    names = ("inputs", "outputs", "shape", "latent")
    keys = {size: f"model.{network}.{size}" for size in names}
    return {size: found[key] for size, key in keys.items() if key in found}


def test_a_table_of_ones_own_needs_no_inputs(recipe, table, caplog):
    recipe("regress", "fit", *table, *SHORT)
    assert sizes("regress") == {"inputs": 3, "outputs": 2}, "gaussian_nll, as the config has it"
    saved = torch.load("runs/regress/a/checkpoints/last.ckpt", weights_only=True)
    assert saved["hyper_parameters"]["network"]["init_args"]["inputs"] == 3
    assert saved["state_dict"]["network.features.1.weight"].shape == (50, 3)
    recipe("regress", "test", "--ckpt_path=runs/regress/a/checkpoints/last.ckpt")


def test_what_is_filled_in_trains_what_is_given_would(recipe):
    flags = ("--model.network=MLP", "--model.network.widths=[4]", *SHORT[:-1])
    recipe("classify", "fit", *flags, "--name=a")
    recipe("classify", "fit", *flags, "--model.network.inputs=64", "--name=b")
    one, two = (yaml.safe_load(Path("runs/classify", n, "config.yaml").read_text()) for n in "ab")
    assert one["model"] == two["model"] and sizes("classify") == {"inputs": 64, "outputs": 10}
    one, two = (
        torch.load(f"runs/classify/{n}/checkpoints/last.ckpt", weights_only=True) for n in "ab"
    )
    assert all(map(torch.equal, one["state_dict"].values(), two["state_dict"].values()))
    assert one["datamodule_hyper_parameters"] == two["datamodule_hyper_parameters"]


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [
        ("regress", ["--model.network={}", "--model.loss=mse"], {"inputs": 10, "outputs": 1}),
        ("classify", ["--model.network={}"], {"inputs": 64, "outputs": 10}),
        slow("study", ["--model.network={}", "--model.seeds=[0]"], {"inputs": 10, "outputs": 1}),
    ],
)
def test_a_network_of_ones_own_is_told_its_sizes(recipe, own, name, flags, expected):
    recipe(name, "fit", *(flag.format(NET) for flag in flags), *SHORT)
    assert sizes(name) == expected
    assert config(name)["model.network.hidden"] == 3, "what is no size stays as it is"


def test_student_and_teacher(recipe, own):
    networks = (f"--model.student={NET}", "--model.teacher=MLP", "--model.teacher.widths=[3]")
    recipe("distill", "fit", *networks, *SHORT)
    found = {"inputs": 64, "outputs": 10}
    assert sizes("distill", "student") == sizes("distill", "teacher") == found


def test_the_networks_of_a_game(recipe):
    networks = ("--model.generator=MLPGenerator", "--model.generator.widths=[4]")
    networks += ("--model.discriminator=MLPDiscriminator", "--model.discriminator.widths=[4]")
    more = ("--data=Ring", "--model.latent=3", "--model.evaluation=null")
    recipe("gan", "fit", *networks, *more, *SHORT)
    assert sizes("gan", "generator") == {"shape": [2], "latent": 3}
    assert sizes("gan", "discriminator") == {"inputs": 2}


def test_images_say_their_channels(recipe):
    flags = ("--model.network=ConvNet", "--model.network.channels=[4]")
    recipe("classify", "fit", *flags, *SHORT)
    assert sizes("classify") == {"inputs": 1, "outputs": 10}


def test_images_say_their_shape(recipe):
    recipe("classify", "fit", "--model.network=LeNet", "--model.network.channels=[4]", *SHORT)
    assert sizes("classify") == {"outputs": 10, "shape": [1, 8, 8]}


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("regress", ["inputs=9"], "--model.network.inputs=9, but the data have 10 features"),
        ("regress", ["outputs=9"], "--model.loss=gaussian_nll needs --model.network.outputs=2"),
        ("classify", ["inputs=3"], "--model.network.inputs=3, but the data have 1 chan"),
        ("classify", ["outputs=9"], "--model.network.outputs=9: --data=Digits has 10 classes"),
    ],
)
def test_a_size_given_wrongly_is_named(recipe, name, flags, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        recipe(name, "fit", *(f"--model.network.{flag}" for flag in flags), *SHORT)
    assert not Path("runs", name).exists()


def test_a_size_that_is_given_stands_whatever_the_data(recipe, table):
    with pytest.raises(ValueError, match=r"inputs=10, but the data have 3 features"):
        recipe("regress", "fit", *table, "--model.network.inputs=10", *SHORT)
    text = Path(__file__).parents[3].joinpath("recipes/regress/diabetes.yaml").read_text()
    Path("mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"inputs=10, but the data have 3 features"):
        recipe("regress", "fit", "--config=mine.yaml", *table, *SHORT)


@pytest.mark.parametrize(
    "text",
    [
        "{class_path: MLP, init_args: {widths: [8], outputs: 11}}",
        '{"class_path": "MLP", "init_args": {"widths": [8], "outputs": 11}}',
    ],
)
def test_a_size_that_is_given_within_a_class_stands(text):
    """As YAML or as JSON, which the parser takes both."""
    assert resolved("classify", (f"--model.network={text}",))["model.network.outputs"] == 11


def test_the_loss_decides_over_the_outputs(table):
    flags = ("--model.loss=quantile", "--model.quantiles=[0.1,0.9]")
    assert resolved("regress", flags)["model.network.outputs"] == 2
    assert resolved("regress", ("--model.loss=mse",))["model.network.outputs"] == 1
    assert resolved("regress", table)["model.network.inputs"] == 3, "also where it is only shown"


def test_data_that_are_not_there_show_no_sizes():
    flags = ("--data=Tabular", "--data.path=none.csv", "--model.network.inputs=null")
    assert resolved("regress", flags)["model.network.inputs"] is None


@pytest.mark.parametrize(
    "data", [("MNIST",), ("CIFAR10",), ("California",), ("HuggingFace", "path=someone/something")]
)
def test_a_config_is_shown_without_a_download(data, monkeypatch, caplog):
    """What would be downloaded is not: the sizes stay open, and that is said."""
    import datamodules
    import datamodules.reading.sources

    kind, *more = data

    def fetch(*args):
        raise AssertionError("downloads")

    monkeypatch.setattr(getattr(datamodules, kind), "prepare_data", fetch)
    monkeypatch.setattr(datamodules.reading.sources, "source", fetch)
    own = [f"--data.{option}" for option in more or ("data_dir=none",)]
    network = ("--model.network=MLP", "--model.network.widths=[3]")
    found = resolved("classify", (f"--data={kind}", *own, *network))
    assert found["model.network.inputs"] is None and found["model.network.widths"] == [3]
    said = "--data has not been downloaded" if kind == "HuggingFace" else "none|Data not found"
    assert re.search(f"sizes that networks take from the data are null: .*({said})", caplog.text)
    assert not list(Path().glob("none/*"))


def test_data_tell_their_classes():
    from datamodules import Digits, Ring

    data = Digits(classes=[1, 2])
    data.setup("fit")
    assert count_classes(data) == 10, "validation and test keep all"
    assert count_classes(Ring(modes=5)) == 5
    assert count_classes(None) is None
