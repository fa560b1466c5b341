"""Expectation maximisation from the command line: tables, interruptions, processes, refusals."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris

from datamodules import Digits
from forks import ended_well, ranks
from marks import slow, some
from recipes.em import EM, BernoulliMixture
from recipes.em.checks import check_setup
from trains import fit, interrupt_after, middle_of_epoch, rows

LAST = "checkpoints/last.ckpt"
BARE = ("--trainer.callbacks=[]",)
DDP = ("--config=ddp", "--trainer.devices=2")


def saved(name, file="last"):
    return torch.load(f"runs/em/{name}/checkpoints/{file}.ckpt", weights_only=True)


@pytest.fixture
def flowers(tmp_path):
    """A table of measurements, without any target."""
    data = load_iris()
    with (tmp_path / "flowers.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "c", "d"], *data.data.tolist()])
    return data.data


def test_ones_own_table_needs_no_target(recipe, flowers):
    own = ("--data=Tabular", "--data.path=flowers.csv", "--data.batch_size=full")
    gaussian = ("--model.network=GaussianMixture", "--model.network.covariance=tied")
    exact = ("--data.standardize=false", "--trainer.precision=64-true", "--trainer.max_epochs=5")
    recipe("em", "fit", *own, *gaussian, *exact, "--name=a", *BARE)
    recipe("em", "test", f"--ckpt_path=runs/em/a/{LAST}")
    new = f"--ckpt_path=runs/em/a/{LAST}", "--data.predict=flowers.csv", "--output=found.csv"
    recipe("em", "predict", *new)
    with Path("found.csv").open() as file:
        found = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    names = [f"responsibility_{k}" for k in range(3)]
    assert list(found[0]) == ["row", "component", "log_likelihood", *names]
    state = {k.removeprefix("network."): v for k, v in saved("a")["state_dict"].items()}
    weights = state["log_weights"].softmax(0)
    densities = np.stack(
        [
            weight * multivariate_normal(mean, state["covariances"]).pdf(flowers)
            for weight, mean in zip(weights.tolist(), state["means"].numpy(), strict=True)
        ],
        1,
    )
    shares = np.array([[row[name] for name in names] for row in found])
    np.testing.assert_allclose(shares, densities / densities.sum(1, keepdims=True), atol=1e-9)
    likelihoods = [row["log_likelihood"] for row in found]
    np.testing.assert_allclose(likelihoods, np.log(densities.sum(1)), rtol=1e-9)
    assert [row["component"] for row in found] == shares.argmax(1).tolist()
    recipe("em", "predict", new[0], "--output=test.csv")
    with Path("test.csv").open() as file:
        likelihoods = [float(row["log_likelihood"]) for row in csv.DictReader(file)]
    (tested,) = rows(Path("runs/em/a"), "test")
    assert tested["test/loss"] == pytest.approx(-np.mean(likelihoods), rel=1e-9)
    assert tested["test/components"] == pytest.approx(torch.special.entr(weights).sum().exp())


def test_a_column_that_is_named_as_the_target_is_no_input(recipe, flowers):
    own = ("--data=Tabular", "--data.path=flowers.csv", "--data.target=d", "--data.batch_size=full")
    recipe("em", "fit", *own, "--model.network=GaussianMixture", "--name=a", *BARE)
    assert saved("a")["state_dict"]["network.means"].shape == (3, 3)


@pytest.mark.parametrize("name", ["regress", "classify", "distill"])
def test_what_needs_a_target_refuses_data_without(recipe, flowers, name):
    own = ("--data=Tabular", "--data.path=flowers.csv", "--data.target=[]")
    networks = {"distill": "--model.student=MLP"}.get(name, "--model.network=MLP")
    widths = f"{networks.split('=')[0]}.widths=[4]"
    with pytest.raises(ValueError, match=r"--data\.target"):
        recipe(name, "fit", *own, networks, widths, *BARE)


@pytest.mark.parametrize("how", ["--model.stepwise=0.6", slow("--model.optimizer=Adam")])
def test_an_interrupted_run_resumes_exactly(recipe, monkeypatch, how):
    """In the middle of an epoch: the step size and the statistics go on."""
    flags = (how, "--data.batch_size=40", "--trainer.max_epochs=3", *BARE)
    recipe("em", "fit", *flags, "--name=whole")
    with monkeypatch.context() as patch:
        interrupt_after(40, patch)
        with pytest.raises(MemoryError):
            recipe("em", "fit", *flags, *middle_of_epoch("runs/em/cut"), "--name=cut")
    assert saved("cut", "middle")["global_step"] == 30
    path = Path("runs/em/cut/checkpoints/middle.ckpt")
    recipe("em", "fit", f"--ckpt_path={path}")
    one, two = (saved(name)["state_dict"] for name in ("whole", "cut"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert rows(Path("runs/em/whole")) == rows(Path("runs/em/cut"))


@pytest.mark.slow
def test_an_interrupted_run_of_whole_steps_resumes_exactly(recipe):
    flags = ("--data.batch_size=359", "--trainer.accumulate_grad_batches=3", *BARE)
    recipe("em", "fit", *flags, "--name=whole", "--trainer.max_epochs=4")
    recipe("em", "fit", *flags, "--name=cut", "--trainer.max_epochs=2")
    recipe("em", "fit", f"--ckpt_path=runs/em/cut/{LAST}", "--trainer.max_epochs=4")
    one, two = (saved(name)["state_dict"] for name in ("whole", "cut"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert rows(Path("runs/em/whole")) == rows(Path("runs/em/cut"))
    recipe("em", "fit", "--name=one", "--trainer.max_epochs=4", *BARE)  # and one batch is the same
    log = [rows(Path("runs/em", name))[-2] for name in ("whole", "one")]
    for key in ("train/loss", "train/log_likelihood", "train/bic"):
        assert log[0][key] == pytest.approx(log[1][key], rel=1e-5)


PROCESSES = {  # flags of both, of one process, and of two
    "full": ("--config=iris --data.test_size=0.34", "", ""),
    "tied": ("--config=iris --data.test_size=0.34 --model.network.covariance=tied", "", ""),
    "accumulated": (
        "--config=digits --data.val_size=361",
        "--data.batch_size=1076",
        "--data.batch_size=269 --trainer.accumulate_grad_batches=2",
    ),
    "stepwise": (
        "--config=digits --model.stepwise=0.7",
        "--data.batch_size=64",
        "--data.batch_size=32",
    ),
}


@pytest.mark.parametrize("kind", [slow("full"), slow("tied"), "accumulated", slow("stepwise")])
def test_two_processes_train_what_one_does(recipe, kind):
    both, one, two = (flags.split() for flags in PROCESSES[kind])
    both += ["--trainer.precision=64-true", "--trainer.max_epochs=4", *BARE]
    recipe("em", "fit", *both, *one, "--name=one")
    ended_well(*ranks(2, "recipes.em", "fit", *both, *two, *DDP, "--name=two"))
    for key, value in saved("one")["state_dict"].items():
        torch.testing.assert_close(saved("two")["state_dict"][key], value, rtol=1e-8, atol=1e-9)
    totals = [
        [row["train/log_likelihood"] for row in rows(Path("runs/em", name)) if "train/bic" in row]
        for name in ("one", "two")
    ]
    assert totals[0] == pytest.approx(totals[1], rel=1e-9)
    assert len(totals[0]) == (0 if kind == "stepwise" else 4)


def test_gradient_ascent_follows_the_gradient_of_the_log_likelihood(tmp_path):
    """That of the logits is the sum of r (x - p): one step of SGD by definition."""
    mixture, data = BernoulliMixture(64, 3).double(), Digits(batch_size=1077)
    torch.manual_seed(0)
    torch.nn.init.normal_(mixture.logits)
    before = mixture.logits.detach().clone()
    sgd = lambda params: torch.optim.SGD(params, lr=0.5)  # noqa: E731
    fit(EM(mixture, start=None, optimizer=sgd), data, tmp_path, precision="64-true")
    x = (data.tables["train"].images.flatten(1) > 8).double()
    p = before.sigmoid()
    log_joint = x @ p.log().T + (1 - x) @ (1 - p).log().T
    r = log_joint.softmax(1)
    gradient = (r.T @ x - r.sum(0)[:, None] * p) / len(x)
    torch.testing.assert_close(mixture.logits.detach(), before + 0.5 * gradient)


REFUSED = {
    "--trainer.gradient_clip_val=1": r"--trainer\.gradient_clip_val: here gradients are sums",
    "--trainer.callbacks+=GradientClip --trainer.callbacks.limit=1": "gradient_clip_val: here",
    "--trainer.precision=bf16-mixed": r"--trainer\.precision=bf16-mixed rounds away",
    "--data.batch_size=359": "accumulate_grad_batches=1 of 3 batches .*all rows: 3",
    "--data.batch_size=1000": "a random 1000 of 1077 rows",
    "--model.network.inputs=63": r"--model\.network\.inputs=63, but the data have 64",
    "--model.network.components=1200": "components=1200: more than the 1077 training rows",
    "--model.stepwise=0.6 --model.optimizer=Adam": r"--model\.stepwise=0\.6 is of M-steps",
    "--model.network=GaussianMixture --model.optimizer=Adam": "--model.optimizer: gradients can",
    "--data=TinyShakespeare --model.network.inputs=64": "--data=TinyShakespeare is text",
    "--model.stepwise=0.5": "stepwise",
}


@pytest.mark.parametrize("flags", some(REFUSED, 3))
def test_what_would_be_wrong_is_refused(recipe, flags):
    with pytest.raises((ValueError, SystemExit), match=REFUSED[flags]) as caught:
        recipe("em", "fit", *flags.split(), "--trainer.max_epochs=1")
    assert "\n" not in str(caught.value).strip()
    assert not list(Path().glob("runs/em/*/metrics.jsonl"))


def test_split_parameters_are_refused():
    sharded = SimpleNamespace(precision="64-true", strategy=ModelParallelStrategy())
    with pytest.raises(ValueError, match="strategy=ModelParallelStrategy: an M-step needs whole"):
        check_setup(sharded, BernoulliMixture(64, 3), None)
