"""What a checkpoint may name by itself, in its run's folder, and beside what the user names."""

from pathlib import Path

import pytest
import torch

from marks import some
from recipes.distill.teacher import load_teacher
from recipes.parts.evaluation.extractor import Extractor
from recipes.parts.networks import MLP
from recipes.parts.trust import Trust, known_object
from trains import rows

OWN = """
from recipes.parts.networks import MLP

class Own(MLP):
    def __init__(self, width: int) -> None:
        super().__init__(64, [width])
"""
SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=2")


@pytest.fixture
def run(recipe, tmp_path, monkeypatch):
    """A run of a network of the user's own."""
    Path("own_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    recipe("classify", "fit", "--model.network=own_networks.Own", "--model.network.width=7", *SHORT)
    return Path("runs/classify/digits-1")


def test_in_its_run_a_checkpoint_alone_says_all(run, recipe):
    recipe("classify", "validate", f"--ckpt_path={run}/checkpoints/last.ckpt")
    assert rows(run, "validate")[0]["val/loss"] == pytest.approx(rows(run)[-1]["val/loss"])
    recipe("classify", "fit", f"--ckpt_path={run}/checkpoints/last.ckpt", "--trainer.max_epochs=2")
    path = f"{run}/checkpoints/last.ckpt"
    assert load_teacher(None, path).head.in_features == 7
    assert Extractor(path).facts["name"] == "own"


@pytest.mark.parametrize("by", some(["flag", "space", "json", "config"], ["flag"]))
def test_elsewhere_what_the_user_names_is_allowed(run, recipe, by):
    path = (run / "checkpoints/last.ckpt").rename("moved.ckpt")
    with pytest.raises(ValueError, match=r"names own_networks.Own, .*--model.network=own_networks"):
        recipe("classify", "validate", "--ckpt_path=moved.ckpt")
    Path("given.yaml").write_text("model: {network: {class_path: own_networks.Own}}\ndata: Digits")
    given = {
        "flag": ("--model.network=own_networks.Own",),
        "space": ("--model.network", "own_networks.Own"),
        "json": ('--model.network={"class_path": "own_networks.Own"}',),
        "config": ("--config=given.yaml",),
    }[by]
    recipe("classify", "validate", f"--ckpt_path={path}", *given)
    (folder,) = set(Path("runs/classify").iterdir()) - {run}
    assert rows(folder, "validate")[0]["val/loss"] == pytest.approx(rows(run)[-1]["val/loss"])


def test_a_teacher_or_extractor_is_given_its_network(run):
    path = (run / "checkpoints/last.ckpt").rename("moved.ckpt")
    weights = torch.load(path, weights_only=True)["state_dict"]
    for found in (
        load_teacher(MLP(64, [7]), str(path)).head,
        Extractor(str(path), network=MLP(64, [7])).head.network,
    ):
        assert torch.equal(found.weight, weights["network.head.weight"])
    with pytest.raises(ValueError, match=r"moved.ckpt does not fit its network: .*size mismatch"):
        Extractor(str(path), network=MLP(64, [8]))


def test_what_the_user_gives_otherwise_needs_no_trust():
    trust = Trust("--ckpt_path=a", keys=frozenset({"data.path", "model.network"}))
    network = {"class_path": "their.Net", "init_args": {"x": 1}}
    assert trust.permitted({"network": network, "alpha": 2}, "model") == {"alpha": 2}
    table = {
        "class_path": "datamodules.own.Tabular",
        "init_args": {"path": "their.csv", "split": 3},
    }
    kept = {"class_path": "datamodules.own.Tabular", "init_args": {"split": 3}}
    assert trust.permitted({"data": table}, "") == {"data": kept}
    with pytest.raises(
        ValueError, match=r"^--ckpt_path=a names the file, .* their.csv: --data.path"
    ):
        Trust("--ckpt_path=a").permitted({"data": table}, "")


def test_a_default_place_needs_no_trust():
    table = {"class_path": "datamodules.own.Tabular", "init_args": {"data_dir": "data/tabular"}}
    assert Trust("").permitted({"data": table}, "") == {"data": table}
    with pytest.raises(ValueError, match=r"--data.data_dir=/root allows it"):
        table = {"class_path": "datamodules.own.Tabular", "init_args": {"data_dir": "/root"}}
        Trust("").permitted({"data": table}, "")


@pytest.mark.parametrize(
    "path",
    [
        *("torch.nn.Linear", "torch.optim.SGD", "recipes.parts.MLP", "datamodules.Digits"),
        *("recipes.gan.networks.DCGANGenerator", "lightning.pytorch.LightningModule"),
    ],
)
def test_known_classes(path):
    assert isinstance(known_object(path), type)


@pytest.mark.parametrize(
    "path",
    [
        *("torch", "Linear", "", ".", "torch.", "torch.hub.load", "torch.no.such", "torchx.Linear"),
        *("recipes.parts.nothing", "recipes.parts", "recipes..x", "recipes.parts.networks.torch"),
        *("recipes.parts.files.Path", "recipes.running.cli.main", "recipes.tune.trial.shutil"),
        *("recipes.gan.__main__.main", "callbacks.x.y", "builtins.eval", "os.system"),
    ],
)
def test_unknown_names(path):
    assert known_object(path) is None


def test_a_function_of_this_project_says_that_it_returns_a_network():
    assert known_object("recipes.distill.teacher.load_teacher") is load_teacher
    assert known_object("recipes.distill.teacher.check_split") is None
