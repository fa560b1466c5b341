"""A game that starts from the files of others: each network from its own, on every process."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from forks import ended_well, ranks
from recipes.gan.networks import MLPDiscriminator, MLPGenerator

GAME = """
model:
  generator: {class_path: MLPGenerator, init_args: {latent: 8, widths: [16], shape: [1, 8, 8]}}
  discriminator: {class_path: MLPDiscriminator, init_args: {inputs: 64, widths: [16]}}
  latent: 8
  generator_optimizer: {class_path: SGD, init_args: {lr: 0.0}}
  discriminator_optimizer: {class_path: SGD, init_args: {lr: 0.0}}
data: {class_path: Digits, init_args: {batch_size: 32}}
trainer: {max_steps: 2}
"""
CALLBACK = """
import torch
from lightning.pytorch import Callback


class Starts(Callback):
    def on_train_start(self, trainer, pl_module):
        torch.save(pl_module.state_dict(), f"start-{trainer.global_rank}.pt")
"""


@pytest.fixture
def networks():
    """By name, of other weights than any seed of the run gives; the game's config beside them."""
    Path("game.yaml").write_text(GAME)
    torch.manual_seed(7)
    return {
        "generator": MLPGenerator(8, [16], [1, 8, 8]),
        "discriminator": MLPDiscriminator(64, [16]),
    }


def apart(networks):
    """A file for each, as others save it; and the flags that name them."""
    below = {"model": {f"module.{k}": v for k, v in networks["generator"].state_dict().items()}}
    torch.save(below, "g.pt")
    torch.save(networks["discriminator"].state_dict(), "d.pt")
    return "--model.generator_weights=g.pt", "--model.discriminator_weights=d.pt"


def together(networks):
    """One file of both, of which each takes its own."""
    both = {f"{n}.{k}": v for n, net in networks.items() for k, v in net.state_dict().items()}
    torch.save({"state_dict": both}, "both.pt")
    return "--model.generator_weights=both.pt", "--model.discriminator_weights=both.pt"


def assert_started(state, networks, names=("generator", "discriminator")):
    for name in names:
        for key, value in networks[name].named_parameters():
            assert torch.equal(state[f"{name}.{key}"], value), name


def trained(name):
    return torch.load(f"runs/gan/{name}/checkpoints/last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("files", [apart, together])
def test_each_network_starts_from_its_own_file(networks, files, recipe):
    flags = files(networks)
    recipe("gan", "fit", "--config=game.yaml", "--name=a", *flags)
    assert_started(trained("a"), networks)
    facts = json.loads(Path("runs/gan/a/run.json").read_text())["weights"]
    assert {n: fact["path"] for n, fact in facts.items()} == {
        name: flag.partition("=")[2] for name, flag in zip(networks, flags, strict=True)
    }
    for path in Path().glob("*.pt"):
        path.unlink()
    last = "--ckpt_path=runs/gan/a/checkpoints/last.ckpt"
    recipe("gan", "validate", last)
    recipe("gan", "fit", last, "--trainer.max_steps=4")
    assert_started(trained("a"), networks)


@pytest.mark.slow
def test_one_network_alone_and_what_is_left_out_stay_as_initialised(networks, recipe):
    generator, discriminator = apart(networks)
    recipe("gan", "fit", "--config=game.yaml", "--name=own")
    recipe("gan", "fit", "--config=game.yaml", "--name=one", discriminator)
    assert_started(trained("one"), networks, ["discriminator"])
    own = {k: v for k, v in trained("own").items() if k.startswith("generator")}
    assert all(torch.equal(trained("one")[key], value) for key, value in own.items())
    recipe(
        "gan", "fit", "--config=game.yaml", "--name=but", generator, "--model.weights_except=*.bias"
    )
    for key, value in networks["generator"].named_parameters():
        expected = trained("own")[f"generator.{key}"] if key.endswith(".bias") else value
        assert torch.equal(trained("but")[f"generator.{key}"], expected), key
    Path("g.pt").write_bytes(Path("d.pt").read_bytes())
    with pytest.raises(ValueError, match=r"^--model.generator_weights=g.pt: no name in it is one"):
        recipe("gan", "fit", "--config=game.yaml", "--name=no", generator)
    assert not Path("runs/gan/no").exists()


def test_an_exported_generator_is_such_a_file(networks, recipe):
    recipe(
        "gan",
        "fit",
        "--config=game.yaml",
        "--name=a",
        *apart(networks),
        "--trainer.callbacks+=Export",
        "--trainer.callbacks.module=generator",
    )
    shutil.copy("runs/gan/a/generator.pt", "mine.pt")
    recipe("gan", "fit", "--config=game.yaml", "--name=b", "--model.generator_weights=mine.pt")
    assert_started(trained("b"), networks, ["generator"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gan", "classify", "distill"])
def test_two_processes_start_from_the_same_weights(name, networks, recipe):
    """Each reads the file: what it begins with is seen on both."""
    Path("starts.py").write_text(CALLBACK)
    flags = {
        "gan": ("--config=game.yaml", *apart(networks)),
        "classify": ("--model.weights=first.pt",),
        "distill": ("--model.student_weights=first.pt",),
    }[name]
    if name != "gan":
        exported = {"classify": "network.pt", "distill": "student.pt"}[name]
        recipe(name, "fit", "--name=first", "--seed_everything=5", "--trainer.max_steps=1")
        shutil.copy(f"runs/{name}/first/{exported}", "first.pt")
    two = ("--config=ddp", "--trainer.accelerator=cpu", "--trainer.max_steps=1")
    callback = "--trainer.callbacks+=starts.Starts"
    ended_well(*ranks(2, f"recipes.{name}", "fit", "--name=two", *flags, *two, callback))
    one, other = (torch.load(f"start-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    if name == "gan":
        assert_started(one, networks)
        return
    network = {"classify": "network", "distill": "student"}[name]
    for key, value in torch.load("first.pt", weights_only=True).items():
        assert torch.equal(one[f"{network}.{key}"], value), key
