"""Regressions: the smallest step there is, and 120 of them as one study."""

import contextlib
import io
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

import study_speed
from beside.comparison import Comparison, Goal
from beside.fits import WARM, Clock, Fit, apart, batches, command, fit, loop, made, part, weights
from datamodules import Friedman
from recipes.parts.networks import MLP
from recipes.regress import Regress
from recipes.study import Study

STEPS, PROOF, EPOCHS = 2000, 20, 20
ROWS, BATCH, RATE = 20_000, 32, 0.001
CONFIG = {
    "model": {"network": made("MLP", inputs=10, widths=[10], outputs=1), "loss": "mse"},
    "data": made("Friedman", rows=ROWS, features=10, batch_size=BATCH),
}


def ours(steps: int = STEPS, first: int = WARM) -> Fit:
    """The recipe, by the command line."""
    return fit(Regress, CONFIG, steps, first)


def network() -> nn.Module:
    """The smallest that anybody trains."""
    return MLP(10, [10], 1)


def data() -> Friedman:
    """What all sides read."""
    return Friedman(rows=ROWS, features=10, batch_size=BATCH)


def plain(model: nn.Module) -> Callable[[Tensor, Tensor], None]:
    """One step of the same: fused Adam, and nothing else."""
    optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)

    def step(inputs: Tensor, targets: Tensor) -> None:
        optimizer.zero_grad()
        mse_loss(model(inputs).squeeze(1), targets).backward()
        optimizer.step()

    return step


class Stock(LightningModule):
    """What Lightning's documentation has people write."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, targets = batch
        loss = mse_loss(self.network(inputs).squeeze(1), targets)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), RATE, fused=True)


def stock(steps: int = STEPS) -> float:
    """Seconds of a stock Trainer with its bar, log and checkpoints, and torch's DataLoader."""
    clock, rows = Clock(WARM, WARM + steps), data().splits(0).train.to(torch.float32)
    table = TensorDataset(rows.inputs, rows.targets)
    silent = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, silent[0], silent[1]:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=-1,
            max_steps=WARM + steps + 1,
            logger=CSVLogger(folder),
            default_root_dir=folder,
            callbacks=[clock],
        )
        trainer.fit(Stock(), DataLoader(table, BATCH, shuffle=True))
    return clock.fit.seconds


def proof() -> float:
    """The largest difference of ours and the plain loop."""
    found = ours(PROOF, 0)
    model = network()
    model.load_state_dict(part(found.before, "network"))
    loop(plain(model), batches(data()), PROOF, 0)
    return apart(weights(model), part(found.after, "network"))


def comparison() -> Comparison:
    """Sides and goals of the smallest step."""
    return Comparison(
        "regression 10-10-1, 2,000 steps",
        {
            "recipes.regress": lambda: ours().seconds,
            "plain loop": lambda: loop(plain(network()), batches(data()), STEPS),
            "stock Trainer": stock,
        },
        [
            Goal("recipes.regress", "plain loop", 1.3),
            Goal("stock Trainer", "plain loop", 1.3),
        ],
        {"plain loop": proof},
        tolerance=1e-5,
    )


def many(runs: int) -> dict[str, Any]:
    """The config of a study of some regressions, or of one by recipes.regress."""
    rows, width, rate = study_speed.ROWS, study_speed.WIDTH, study_speed.RATE
    seen, unseen = rows + study_speed.VALIDATION, study_speed.UNSEEN
    network = made("MLP", inputs=study_speed.FEATURES, widths=[width], outputs=1)
    model: dict[str, Any] = {"network": network, "loss": "mse"}
    if runs > 1:
        model["optimizers"] = {"Adam": made("Adam", fused=True)}
        model["search"] = made("Grid", learning_rate=[rate])
        model["seeds"] = list(range(runs))
    else:
        model["optimizer"] = made("Adam", lr=rate, fused=True)
    data = made(
        "Friedman",
        rows=seen + unseen,
        features=study_speed.FEATURES,
        batch_size=study_speed.BATCH,
        val_size=study_speed.VALIDATION / seen,
        test_size=unseen / (seen + unseen),
    )
    return {"model": model, "data": data}


def proof_of_study() -> float:
    """The largest difference of a study's first member and of the same by recipes.regress."""
    found = []
    for module, runs in ((Study, study_speed.RUNS), (Regress, 1)):
        clock = Clock(0, PROOF)
        command(module, many(runs), [*flags_of(2), "--seed_everything=0"], clock)
        found.append(clock.fit.after)
    (members,) = (w for name, w in found[0].items() if name.endswith("weights.0"))
    alone = torch.cat([w.flatten() for w in part(found[1], "network").values()])
    return (members[0] - alone).abs().max().item()


def flags_of(epochs: int) -> list[str]:
    """A study's and a regression's, by the command line."""
    return [f"--trainer.max_epochs={epochs}", "--trainer.accelerator=cpu", "--trainer.devices=1"]


def comparison_of_study() -> Comparison:
    """Sides and goals of the study; the sides that train one by one train one, 120 times."""
    runs, alone = study_speed.RUNS, "recipes.regress, one by one"
    return Comparison(
        f"{runs} regressions 13-50-1, {EPOCHS} epochs",
        {
            "one study": lambda: command(Study, many(runs), flags_of(EPOCHS)),
            alone: lambda: runs * command(Regress, many(1), flags_of(EPOCHS)),
            "scikit-learn MLPRegressor": lambda: runs * study_speed.scikit_learn(EPOCHS),
            "one study, bare Trainer": lambda: sum(study_speed.study(EPOCHS)),
            f"{alone}, bare Trainer": lambda: runs * study_speed.regress(EPOCHS),
        },
        [
            Goal("one study", alone, 1 / 50),
            Goal("one study", "scikit-learn MLPRegressor", 1 / 8),
            Goal("one study, bare Trainer", f"{alone}, bare Trainer", 1 / 50),
            Goal("one study, bare Trainer", "scikit-learn MLPRegressor", 1 / 8),
        ],
        {alone: proof_of_study},  # which also imports what both need
        tolerance=1e-5,
    )
