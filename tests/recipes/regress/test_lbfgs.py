"""L-BFGS: equal to a plain loop, its evaluations counted, and refused where it would go wrong."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import LightningModule
from torch.optim import LBFGS

import datamodules
from datamodules import Diabetes
from marks import some
from recipes.parts.networks import MLP, LinearModel
from recipes.regress import Regress
from recipes.regress.lbfgs import check_lbfgs
from trains import fit, interrupt_after, rows, weights


def lbfgs(params):
    return LBFGS(params, lr=0.5, max_iter=8, line_search_fn="strong_wolfe")


def data(**kwargs):
    return Diabetes(**{"batch_size": "full", **kwargs})


def regress(**kwargs):
    torch.manual_seed(3)
    return Regress(lambda: MLP(10, [7], outputs=1), **{"optimizer": lbfgs, **kwargs})


def plain(steps):
    """The weights and each step's first loss and number of evaluations, in a loop by hand."""
    torch.manual_seed(3)
    network, losses, counts = MLP(10, [7], outputs=1), [], []
    optimizer = lbfgs(network.parameters())
    module = data()
    module.setup("fit")
    ((inputs, targets),) = module.train_dataloader()
    for _ in range(steps):
        seen = []

        def closure(seen=seen):
            optimizer.zero_grad()
            loss = (network(inputs).squeeze(-1) - targets).square().mean()
            loss.backward()
            seen.append(loss.item())
            return loss

        optimizer.step(closure)
        losses.append(seen[0])
        counts.append(len(seen))
    return network, losses, counts


def test_it_is_torchs_own_in_a_plain_loop(recipe):
    """Bit for bit; the logged loss is the step's first, and all evaluations are counted."""
    network, losses, counts = plain(6)
    assert max(counts) > 2, "there were line searches"
    module, trainer = fit(regress(), data(), Path(), max_epochs=6)
    assert torch.equal(weights(module.network), weights(network))
    assert (
        module.evaluations
        == sum(counts)
        == next(iter(trainer.optimizers[0].state.values()))["func_evals"]
    )
    folder = run(recipe, "plain", "--trainer.max_epochs=6")
    logged = [row for row in rows(folder) if "train/loss" in row]
    assert [row["train/loss"] for row in logged] == pytest.approx(losses, rel=1e-6)
    expected = [sum(counts[: i + 1]) for i in range(6)]
    assert [row["train/evaluations"] for row in logged] == expected


def test_a_linear_model_ends_at_least_squares(tmp_path):
    module = Regress(
        lambda: LinearModel(10),
        optimizer=lambda params: LBFGS(params, max_iter=4, line_search_fn="strong_wolfe"),
    )
    _, trainer = fit(module, data(), tmp_path, max_epochs=20, precision="64-true")
    train = trainer.datamodule.splits(0).train
    inputs, targets = train.inputs, train.targets
    inputs = torch.nn.functional.pad(inputs, (0, 1), value=1.0)
    best = torch.linalg.lstsq(inputs, targets).solution
    found = torch.cat([module.network.weight.detach().flatten(), module.network.bias.detach()])
    losses = [(inputs @ w - targets).square().mean().item() for w in (found, best)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-8)


# Tables that need no download, and the network's inputs.
TABLES = {
    "diabetes": (("--data.split=0",), 10),
    "diabetes, another split": (("--data.split=3",), 10),
    "Friedman 1": (("--data=Friedman", "--data.batch_size=full"), 10),
    "Friedman 2": (("--data=Friedman", "--data.variant=2", "--data.batch_size=full"), 4),
    "Friedman 3": (("--data=Friedman", "--data.variant=3", "--data.batch_size=full"), 4),
    "line": (("--data=Linear", "--data.batch_size=full"), 10),
    "ill-conditioned line": (
        ("--data=Linear", "--data.features=8", "--data.condition=75", "--data.batch_size=full"),
        8,
    ),
    "textbook": (("--data=Textbook",), 2),
}


def ended(folder, capsys):
    """The training loss of a linear model at the end and that of least squares, and what was said.

    Also the loss's evaluations, and whether run.json has it that L-BFGS converged.
    """
    config = yaml.safe_load((folder / "config.yaml").read_text())["data"]
    made = getattr(datamodules, config["class_path"].rpartition(".")[2])(**config["init_args"])
    train = made.splits(config["init_args"].get("split", 0)).train
    inputs = np.pad(train.inputs.numpy(), ((0, 0), (0, 1)), constant_values=1.0)
    targets = train.targets.numpy()
    state = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    weights = [*state["network.weight"].flatten().tolist(), *state["network.bias"].tolist()]
    best = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    losses = [float(np.square(inputs @ w - targets).mean()) for w in (np.array(weights), best)]
    evaluations = [row for row in rows(folder) if "train/evaluations" in row][-1]
    facts = json.loads((folder / "run.json").read_text())
    said = capsys.readouterr().out.splitlines()[-1]
    return *losses, evaluations["train/evaluations"], facts["converged"], said


@pytest.mark.parametrize("table", some(TABLES, 2))
def test_the_config_lands_on_least_squares_within_40_evaluations(table, recipe, capsys):
    flags, inputs = TABLES[table]
    recipe("regress", "fit", "--config=lbfgs", f"--model.network.inputs={inputs}", *flags)
    (folder,) = Path("runs/regress").iterdir()
    found, best, evaluations, converged, said = ended(folder, capsys)
    assert found == pytest.approx(best, rel=1e-8, abs=1e-12)
    assert evaluations <= 40
    assert converged and "not converged" not in said


@pytest.mark.parametrize("flags", [("--model.optimizer.lr=0.001",), ("--trainer.max_epochs=1",)])
def test_a_run_that_ends_unconverged_says_so(flags, recipe, capsys):
    """The first is what the config had from the default Adam: its rate."""
    recipe("regress", "fit", "--config=lbfgs", *flags)
    found, best, _, converged, said = ended(Path("runs/regress/lbfgs-1"), capsys)
    assert found > best * (1 + 1e-8)
    assert not converged and said.endswith("; L-BFGS has not converged: train for more epochs")


def test_a_run_without_validation_says_so_too(recipe, capsys):
    recipe("regress", "fit", "--config=lbfgs", "--trainer.max_epochs=1", "--data.val_size=0")
    assert capsys.readouterr().out.splitlines()[-1].startswith("L-BFGS has not converged")


def test_each_member_of_a_study_is_told(recipe, capsys):
    line = "{class_path: LBFGS, init_args: {line_search_fn: strong_wolfe, max_iter: 10}}"
    flags = (f"--model.optimizers={{L-BFGS: {line}}}", "--data.batch_size=full")
    linear = ("--model.network=LinearModel", "--model.network.inputs=10", "--model.schedules={}")
    rates = ("--model.search.learning_rate=[1e-6,1]", "--model.seeds=[0]")
    common = (*flags, *linear, *rates, "--trainer.precision=64-true")
    recipe("study", "fit", *common, "--trainer.max_epochs=5")
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .endswith("; 1 of 2 trained by L-BFGS have not converged: train for more epochs")
    )


NETWORK = ("--model.network=MLP", "--model.network.inputs=10", "--model.network.widths=[7]")
FLAGS = (
    *NETWORK,
    "--model.network.outputs=1",
    "--model.network.dropout=0",
    "--model.loss=mse",
    "--model.optimizer=LBFGS",
    "--model.optimizer.lr=0.5",
    "--model.optimizer.max_iter=8",
    "--model.optimizer.line_search_fn=strong_wolfe",
    "--data.batch_size=full",
    "--trainer.callbacks=[]",
    "--trainer.log_every_n_steps=1",
    "--seed_everything=3",
)


def run(recipe, name, *flags):
    recipe("regress", "fit", f"--name={name}", *FLAGS, *flags)
    return Path("runs/regress", name)


@pytest.mark.slow
def test_a_killed_run_resumes_identically(recipe, monkeypatch):
    whole = run(recipe, "whole", "--trainer.max_epochs=6")
    with monkeypatch.context() as context:
        interrupt_after(4, context)
        with pytest.raises(MemoryError):
            run(recipe, "cut", "--trainer.max_epochs=6")
    recipe("regress", "fit", "--ckpt_path=runs/regress/cut/checkpoints/last.ckpt")
    assert rows(Path("runs/regress/cut")) == rows(whole)
    one, two = (
        torch.load(f"runs/regress/{name}/checkpoints/last.ckpt", weights_only=True)
        for name in ("whole", "cut")
    )
    assert one["evaluations"] == two["evaluations"] > 12
    for key, value in one["state_dict"].items():
        assert torch.equal(value, two["state_dict"][key]), key


@pytest.mark.parametrize(
    ("settings", "network", "line"),
    [
        ({"accumulate_grad_batches": 2}, {}, r"--trainer.accumulate_grad_batches=2: .*add up"),
        ({"precision": "bf16-mixed"}, {}, r"--trainer.precision=bf16-mixed: bf16 rounds"),
        ({"gradient_clip_val": 0.5}, {}, r"--trainer.gradient_clip_val: .*clipping changes"),
        ({}, {"dropout": 0.1}, r"dropout in the network: .*different networks"),
    ],
)
def test_what_would_go_wrong_is_refused_before_the_first_step(tmp_path, settings, network, line):
    torch.manual_seed(3)
    module = Regress(lambda: MLP(10, [7], outputs=1, **network), optimizer=lbfgs)
    before = weights(module.network).clone()
    with pytest.raises(ValueError, match=line) as refused:
        fit(module, data(), tmp_path, **settings)
    assert "\n" not in str(refused.value) and torch.equal(weights(module.network), before)


@pytest.mark.parametrize("limits", [{}, {"limit_train_batches": 1}])
def test_several_batches_are_refused(tmp_path, limits):
    """Also where only one is used in each epoch, since it is another one each time."""
    with pytest.raises(ValueError, match=r"--data.batch_size=full, not \d+ batches an epoch"):
        fit(regress(), data(batch_size=32), tmp_path, **limits)


def test_a_batch_that_leaves_rows_out_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--data.batch_size=full, not a random 250 of \d+ rows"):
        fit(regress(), data(batch_size=250), tmp_path)


def stub(**changes):
    usual = {
        "accumulate_grad_batches": 1,
        "precision": "32-true",
        "world_size": 1,
        "gradient_clip_val": None,
        "callbacks": [],
        "train_dataloader": [0],
        "num_training_batches": 1,
    }
    return SimpleNamespace(**usual | changes)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"precision": "16-mixed"}, r"--trainer.precision=16-mixed: fp16 rounds"),
        ({"precision": "16-true"}, r"fp16"),
        ({"world_size": 2}, r"one process, not 2: --trainer.devices=1"),
    ],
)
def test_what_needs_other_hardware_is_refused(changes, line):
    network = LinearModel(2)
    with pytest.raises(ValueError, match=line):
        check_lbfgs(stub(**changes), [lbfgs(network.parameters())], [network])
    check_lbfgs(stub(**changes), [torch.optim.SGD(network.parameters())], [network])
    check_lbfgs(stub(precision="64-true"), [lbfgs(network.parameters())], [network])


def test_an_ensemble_has_no_common_line_search(tmp_path):
    with pytest.raises(ValueError, match=r"--model.ensemble: a line search"):
        fit(regress(ensemble=2), data(), tmp_path)


class Stock(LightningModule):
    """The negative control: what a module does that leaves all to Lightning."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.network, self.evaluations = MLP(10, [7], outputs=1), 0

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        loss = (self.network(inputs).squeeze(-1) - targets).square().mean()
        self.evaluations += 1
        self.__dict__.setdefault("seen", []).append(loss.item())
        self.log("train/loss", loss, on_epoch=True, batch_size=len(targets))
        return loss

    def configure_optimizers(self):
        return lbfgs(self.network.parameters())


def test_stock_accumulation_changes_the_result(tmp_path):
    """Twelve full batches, of which accumulation uses every other: six steps, as without it."""
    alone, _ = fit(Stock(), data(), tmp_path, max_epochs=6)
    added, _ = fit(Stock(), data(), tmp_path, max_epochs=12, accumulate_grad_batches=2)
    assert added.evaluations != alone.evaluations
    assert not torch.allclose(weights(added.network), weights(alone.network), atol=1e-3)


def test_stock_logging_averages_over_the_line_search(tmp_path):
    module, trainer = fit(Stock(), data(), tmp_path, max_epochs=1)
    mean = sum(module.seen) / len(module.seen)
    assert trainer.callback_metrics["train/loss"].item() == pytest.approx(mean, rel=1e-6)
    assert mean < 0.95 * module.seen[0]
