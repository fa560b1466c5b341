"""Trains recipes as their users do, by the command line, and plain loops on the same batches."""

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor

from recipes.running import main

WARM = 30  # steps before the clock starts
SAMPLERS: list[Any] = []  # with `enable` and `disable`: they are on while a clock runs
Weights = dict[str, Tensor]


@dataclass
class Fit:
    """What is kept of training.

    Attributes:
        seconds: of a core, from the first step that is timed to the last
        before: weights at the start
        after: weights at the end
    """

    seconds: float = float("nan")
    before: Weights | None = None
    after: Weights | None = None


def weights(module: torch.nn.Module) -> Weights:
    """A copy of them."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def started() -> float:
    """The time at which a clock starts."""
    for sampler in SAMPLERS:
        sampler.enable()
    return time.thread_time()


def stopped(start: float) -> float:
    """Seconds since then."""
    seconds = time.thread_time() - start
    for sampler in SAMPLERS:
        sampler.disable()
    return seconds


class Clock(Callback):
    """Seconds of a core from the start of one batch to that of another, with all that is between.

    Of the thread that trains: W&B starts in others for a second or two, whatever the step.

    Args:
        first: number of the batch that the clock starts with, from 0; -1: with the fit itself
        last: number of the batch that it ends before
    """

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.fit = Fit()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start = time.thread_time()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.fit.before = weights(pl_module)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        done = trainer.fit_loop.total_batch_idx
        if done == self.last:
            self.fit.seconds = stopped(self.start)
            self.fit.after = weights(pl_module)
        if done == self.first:
            self.start = started()


def fit(
    module: type[LightningModule],
    config: dict[str, Any],
    steps: int,
    first: int | None = WARM,
    flags: Sequence[str] = (),
) -> Fit:
    """Trains by the command line: log, bar, checkpoints and W&B as for everybody.

    Args:
        module: the recipe's
        config: as in a file
        steps: that are timed
        first: step that the clock starts with; None: it starts before the fit's own preparations
        flags: further ones
    """
    begin = -1 if first is None else first
    last = steps + max(begin, 0)
    clock = Clock(begin, last)
    more = [f"--trainer.max_steps={last + 1}", "--trainer.max_epochs=-1", "--trainer.devices=1"]
    more += ["--trainer.accelerator=cpu", "--trainer.limit_val_batches=0"]
    command(module, config, [*more, *flags], clock)
    return clock.fit


def command(
    module: type[LightningModule], config: dict[str, Any], flags: Sequence[str], *watching: Callback
) -> float:
    """Seconds of a core that a whole command takes, from its arguments to its last file.

    Of the thread that trains, as of a `Clock`; imports count unless they were made before.

    Args:
        module: the recipe's
        config: as in a file
        flags: further ones
        watching: further callbacks
    """
    silent = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), silent[0], silent[1]:
        Path("config.yaml").write_text(yaml.safe_dump(config))
        start = time.thread_time()
        main(module, ["fit", "--config=config.yaml", "--name=timed", *flags], list(watching))
        return time.thread_time() - start


def batches(data: LightningDataModule) -> Iterator[tuple[Tensor, ...]]:
    """Those that a fit reads, in its order, epoch after epoch, as it gets them."""
    data.setup("fit")
    loader, epoch = data.train_dataloader(), 0
    while True:
        loader.set_epoch(epoch)
        for batch in loader:
            yield data.on_after_batch_transfer(batch, 0)
        epoch += 1


def loop(
    step: Callable[..., None], source: Iterator[tuple[Tensor, ...]], steps: int, first: int = WARM
) -> float:
    """Seconds of a core of a plain loop.

    Args:
        step: what is done with a batch
        source: of batches
        steps: that are timed
        first: step that the clock starts with
    """
    for _ in range(first):
        step(*next(source))
    start = started()
    for _ in range(steps):
        step(*next(source))
    return stopped(start)


def apart(one: Weights, other: Weights) -> float:
    """The largest difference of two networks' weights."""
    assert one.keys() == other.keys(), "of the same network"
    return max((one[name].double() - other[name].double()).abs().max().item() for name in one)


def made(name: str, **arguments: object) -> dict[str, Any]:
    """A class in a config."""
    return {"class_path": name, "init_args": arguments}


def part(found: Weights, name: str) -> Weights:
    """The weights of one of a recipe's networks, by their names in it."""
    start = f"{name}."
    return {key.removeprefix(start): w for key, w in found.items() if key.startswith(start)}
