"""Steps and seconds to least squares of nine optimizers: the golden values of the UCI sets.

python benchmarks/least_squares.py [--data_dir data/uci] [--sets power-plant ...]

A linear model from zero, on all training rows of the 20 published splits, standardised, float64.
Each optimizer's rate is that of the grid in recipes/study/least_squares.yaml with the lowest
loss on the training rows of split 0 (there are none for validation), after about as many steps as
gradient descent needs; all splits are then trained with it for ten times as long. RMSprop, Adam and
mini-batch SGD (32 rows) do not settle at a constant rate: theirs decays linearly to zero over the
run, which is of equal length in both. L-BFGS has no rate, and its step is one iteration.

Landed: at the end the RMSE on all training rows is at most 0.001 above that of
`numpy.linalg.lstsq`, in the target's own unit. Steps: the median over splits of those taken when
this is first so (mini-batch SGD: when its epoch ends). Seconds: that many steps of split 0 alone,
by recipes.regress.
"""

import argparse
import contextlib
import csv
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks import LRDecay
from datamodules import UCI
from recipes.parts.networks import LinearModel
from recipes.regress import Regress
from recipes.running.cli import RecipeCLI
from recipes.study import Study

SPLITS, WITHIN, BATCH = 20, 1e-3, 32
DECAY = ["--trainer.callbacks+=LRDecay", "--trainer.callbacks.schedule=linear"]
ADAPTIVE = "{RMSprop: {class_path: RMSprop}, Adam: {class_path: Adam}}"
SGD = "{SGD: {class_path: SGD}}"
# Its max_eval would be max_iter * 5 // 4, which leaves one iteration no line search.
WOLFE = "{line_search_fn: strong_wolfe, max_iter: 1, max_eval: 25}"
LBFGS = f"{{L-BFGS: {{class_path: LBFGS, init_args: {WOLFE}}}}}"


class Set(NamedTuple):
    """The published mean and standard error of least squares, and the epochs of each study."""

    mean: float
    error: float
    short: int  # constant rates are chosen after these
    decaying: int  # of RMSprop and Adam
    batches: int  # of mini-batch SGD


SETS = {
    "power-plant": Set(4.61311, 0.02899, 100, 200, 50),
    "energy": Set(3.05598, 0.05370, 1500, 3000, 1000),
    "wine-quality-red": Set(0.65444, 0.00763, 20, 200, 100),
    "yacht": Set(8.96946, 0.27340, 300, 1000, 1000),
}


class Problem(NamedTuple):
    """Least squares on one split, in the target's own unit."""

    train: float  # RMSE
    test: float
    condition: float  # of the training inputs' Gram matrix, over its eigenvalues above 0
    rank: int


class TrainError(Callback):
    """Keeps each member's mean squared error on all of its training rows, epoch by epoch."""

    def __init__(self) -> None:
        self.rows: list[torch.Tensor] = []

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        population, data = pl_module.population, trainer.datamodule
        parts = [data.splits(member.split).train for member in population.members]
        inputs, targets = (
            torch.stack([getattr(p, n) for p in parts]) for n in ("inputs", "targets")
        )
        self.rows.append((population(inputs).squeeze(-1) - targets).square().mean(1))


class Stopwatch(Callback):
    """Seconds from the first step to the last."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds = time.perf_counter() - self.seconds


def least_squares(data: UCI, split: int) -> Problem:
    """What numpy finds on one split."""
    rows = data.splits(split)

    def with_constant(inputs: torch.Tensor) -> np.ndarray:
        return np.column_stack([inputs.numpy(), np.ones(len(inputs))])

    train, test = with_constant(rows.train.inputs), with_constant(rows.test.inputs)
    weights = np.linalg.lstsq(train, rows.train.targets.numpy(), rcond=None)[0]
    errors = [
        np.sqrt(np.mean((inputs @ weights - targets.numpy()) ** 2)) * rows.target_std
        for inputs, targets in ((train, rows.train.targets), (test, rows.test.targets))
    ]
    values = np.linalg.eigvalsh(train[:, :-1].T @ train[:, :-1])
    values = values[values > 1e-10 * values.max()]
    return Problem(*errors, values.max() / values.min(), len(values))


def study(*flags: str) -> RecipeCLI:
    """Runs the command line in this process: `python -m recipes.study fit` with these flags."""
    quiet = ["logger=false", "enable_checkpointing=false", "enable_progress_bar=false"]
    command = ["fit", "--config=least_squares", *(f"--trainer.{flag}" for flag in quiet), *flags]
    with contextlib.redirect_stdout(sys.stderr):
        return RecipeCLI(Study, command)


class Kind(NamedTuple):
    """Optimizers that are trained in one study."""

    flags: list[str]
    short: int  # epochs after which rates are chosen
    long: int  # epochs
    has_rates: bool = True
    decays: bool = False


def kinds(of: Set) -> list[Kind]:
    """The studies of one set."""
    batches = [f"--model.optimizers={SGD}", f"--data.batch_size={BATCH}", *DECAY]
    batches.append("--trainer.callbacks+=least_squares.TrainError")
    return [
        Kind([], of.short, 10 * of.short),
        Kind([f"--model.optimizers={ADAPTIVE}", *DECAY], of.decaying, of.decaying, decays=True),
        Kind(batches, of.batches, of.batches, decays=True),
        Kind([f"--model.optimizers={LBFGS}"], 0, 30, has_rates=False),
    ]


def errors_of(cli: RecipeCLI) -> tuple[np.ndarray, bool]:
    """Each row's errors on the training rows, (rows, members), and whether they are after it.

    A full batch's loss is that on all training rows, before the row's step.
    """
    after = [callback.rows for callback in cli.trainer.callbacks if hasattr(callback, "rows")]
    rows = after[0] if after else cli.model.records[-1].series["train/loss"]
    return torch.stack(rows).numpy(), bool(after)


def best_rates(cli: RecipeCLI) -> dict[str, list[float]]:
    """The rate of each optimizer with the lowest error at the end."""
    errors = np.nan_to_num(errors_of(cli)[0][-1], nan=math.inf)
    rates: dict[str, tuple[float, float]] = {}
    for error, member in zip(errors, cli.model.records[-1].members, strict=True):
        found = (float(error), member.trial.learning_rate)
        rates[member.trial.optimizer] = min(found, rates.get(member.trial.optimizer, found))
    return {label: [rate] for label, (_, rate) in rates.items()}


def landed(errors: np.ndarray, scale: np.ndarray, problems: Sequence[Problem]) -> list[float]:
    """Row in which each member first is where it is to land, infinite for never.

    Args:
        errors: mean squared error on the standardised training rows, (rows, splits)
        scale: standard deviation of the targets, (splits,)
        problems: of the splits
    """
    limits = np.array([problem.train for problem in problems]) + WITHIN
    below = np.sqrt(errors) * scale <= limits
    return [float(c.argmax()) if c.any() else math.inf for c in below.T]


def alone(
    make: Callable[..., torch.optim.Optimizer], data: UCI, steps: int, decay: int | None
) -> float:
    """Seconds of some steps of one split through recipes.regress, a Trainer of its own.

    Args:
        make: the optimizer, its rate included
        data: of the run
        steps: to take
        decay: batches in which the rate decays to zero, if it does
    """
    watch = Stopwatch()
    callbacks = [watch, *([LRDecay("linear", length=f"{decay}ba")] if decay else [])]
    trainer = Trainer(
        accelerator="cpu",
        precision="64-true",
        max_steps=steps,
        max_epochs=-1,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    features = data.examples[0].shape[1]
    trainer.fit(Regress(partial(LinearModel, features), make), data)
    return watch.seconds


def measure(name: str, data_dir: str) -> None:
    """Prints one set's table."""
    started, of = time.perf_counter(), SETS[name]
    data = UCI(data_dir, name, "full", val_size=0.0)
    data.prepare_data()
    problems = [least_squares(data, split) for split in range(SPLITS)]
    scale = np.array([data.splits(split).target_std for split in range(SPLITS)])
    features = data.examples[0].shape[1]
    common = [f"--data.data_dir={data_dir}", f"--data.dataset={name}"]
    common.append(f"--model.network.inputs={features}")
    tested = np.array([problem.test for problem in problems])
    mean, error = tested.mean(), tested.std() / math.sqrt(SPLITS)
    condition = statistics.fmean(problem.condition for problem in problems)
    print(
        f"\n**{name}**: condition number {condition:.0f}, rank {problems[0].rank} of {features}; "
        f"least squares {mean:.5f} ± {error:.5f} (golden {of.mean:.5f} ± {of.error:.5f})\n\n"
        f"| optimizer | rate | test RMSE, mean ± s.e. | minus least squares | landed | steps "
        f"| evaluations | seconds |\n|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    every = "--trainer.check_val_every_n_epoch=1"
    for kind in kinds(of):
        flags = [*common, *kind.flags]
        rates = "[1]"
        if kind.has_rates:
            first = study(*flags, every, f"--trainer.max_epochs={kind.short}")
            rates = json.dumps(best_rates(first))
        flags += [f"--model.search.learning_rate={rates}", f"--model.splits={[*range(SPLITS)]}"]
        cli = study(*flags, every, f"--trainer.max_epochs={kind.long}")
        with contextlib.redirect_stdout(sys.stderr):
            cli.trainer.test(cli.model, cli.datamodule, verbose=False)
        report(cli, kind, problems, scale, data)
    print(f"\n{time.perf_counter() - started:.0f} s", flush=True)


def report(
    cli: RecipeCLI, kind: Kind, problems: Sequence[Problem], scale: np.ndarray, data: UCI
) -> None:
    """Prints the rows of one study's optimizers."""
    model, record = cli.model, cli.model.records[-1]
    series, after = errors_of(cli)
    evaluations = torch.stack(record.series["evaluations"]).numpy()
    per_epoch = cli.trainer.num_training_batches
    with (cli.run.folder / "test.csv").open(newline="") as file:
        tested = [row for row in csv.DictReader(file) if row["seed"] != "ensemble"]
    for label, make in model.makers.items():
        ids = [i for i, m in enumerate(record.members) if m.trial.optimizer == label]
        rate = record.members[ids[0]].trial.learning_rate
        rows = landed(series[:, ids], scale, problems)
        steps = [(row + after) * per_epoch for row in rows]
        found = np.array([float(row["rmse"]) for row in tested if row["optimizer"] == label])
        middle = statistics.median_high(steps)
        columns = ["never"] * 3
        if math.isfinite(middle):
            asked = [
                evaluations[max(int(row) - (not after), 0), i]
                for row, i in zip(rows, ids, strict=True)
                if math.isfinite(row)
            ]
            of_split = UCI(
                str(data.hparams.data_dir), data.hparams.dataset, cli.datamodule.batch_size, 0.0
            )
            length = kind.long * per_epoch if kind.decays else None
            seconds = alone(partial(make, lr=rate), of_split, max(int(middle), 1), length)
            columns = [f"{middle:.0f}", f"{statistics.median_high(asked):.0f}", f"{seconds:.2f}"]
        landing = sum(map(math.isfinite, landed(series[-1:, ids], scale, problems)))
        error = found.std() / math.sqrt(SPLITS)
        difference = found.mean() - statistics.fmean(problem.test for problem in problems)
        print(
            f"| {label} | {rate if kind.has_rates else '-'} | {found.mean():.5f} ± {error:.5f} "
            f"| {difference:+.0e} | {landing} of {SPLITS} | {' | '.join(columns)} |",
            flush=True,
        )


def main() -> None:
    """Prints a table per set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="data/uci")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.sets:
        measure(name, arguments.data_dir)


if __name__ == "__main__":
    main()
