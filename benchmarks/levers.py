"""What makes a training step faster, and by how much: what is used here, and what is not, and why.

python benchmarks/levers.py [--only fused gathers ...] [--rounds 5]

A step with a lever takes turns with the same step without it, on one thread; a ratio is that of the
medians of a core's seconds, beside it the smallest and largest of a round. levers.json keeps them.
Eight minutes on one core.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

import pages
from beside import gans, regressions, students
from beside.comparison import Comparison, Goal, kept_here, machine, ratios
from beside.fits import WARM, Clock, batches, fit, loop
from recipes.parts.centred import centred
from recipes.parts.files import replace_file
from recipes.regress import Regress
from recipes.running.idle_hooks import HOOKS
from recipes.running.messages import silence_noise

FILE = Path(__file__).with_name("levers.json")
TOGETHER = 64  # batches in one hook call
STEPS = 640  # of the smallest regression
Seconds = Callable[[], float]


@dataclass(frozen=True)
class Lever:
    """Something that makes a step faster.

    Attributes:
        what: is done
        work: in which
        pulled: seconds with it
        without: seconds without it
        used: whether it is used here, or why not
    """

    what: str
    work: str
    pulled: Seconds
    without: Seconds
    used: str


class Chunks(IterableDataset):
    """Some batches at a time, as they are read.

    Args:
        size: of these
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[list[tuple[Tensor, ...]]]:
        source = batches(regressions.data())
        while True:
            yield list(islice(source, self.size))


class Several(LightningModule):
    """Some batches in one call of every hook, with an update for each."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = regressions.network()

    def training_step(self, chunk: list[tuple[Tensor, Tensor]]) -> None:
        optimizer = self.trainer.optimizers[0]
        for inputs, targets in chunk:
            optimizer.zero_grad()
            mse_loss(self.network(inputs).squeeze(1), targets).backward()
            optimizer.step()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), regressions.RATE, fused=True)


def several(size: int, module: LightningModule | None = None) -> float:
    """Seconds of a Trainer that is given some batches at a time, and does nothing else.

    Args:
        size: of these
        module: by default a new one
    """
    calls, warm = STEPS // size, max(2, WARM // size)
    clock = Clock(warm, warm + calls)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=warm + calls + 1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock],
    )
    trainer.fit(module or Several(), DataLoader(Chunks(size), batch_size=None))
    return clock.fit.seconds


def smallest(*flags: str) -> float:
    """Seconds of the smallest regression by the command line."""
    return fit(Regress, regressions.CONFIG, STEPS, WARM, flags).seconds


def smallest_loop() -> float:
    """Seconds of a plain loop of it."""
    source = batches(regressions.data())
    return loop(regressions.plain(regressions.network()), source, STEPS)


def all_hooks() -> float:
    """Seconds of the smallest regression with all hooks called, as Lightning has it."""
    with mock.patch("recipes.running.idle_hooks.HOOKS", []):
        return smallest()


class WithoutIdleHooks(Clock):
    """Takes the hooks of a batch that do nothing from the module, too."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name in HOOKS:
            inherited = getattr(LightningModule, name, None)
            if inherited and getattr(type(pl_module), name) is inherited:
                setattr(pl_module, name, None)
        super().on_fit_start(trainer, pl_module)


def no_module_hooks() -> float:
    """Seconds of the smallest regression without those of the module that do nothing."""
    with mock.patch("beside.fits.Clock", WithoutIdleHooks):
        return smallest()


def student(make: Callable[[nn.Module], students.Step], compiled: bool = False) -> float:
    """Seconds of a plain loop of the MNIST student."""
    torch.compiler.reset()  # what another side has compiled would be compiled for several shapes
    network = students.network()
    step = make(torch.compile(network) if compiled else network)
    return loop(step, batches(students.RandomDigits()), 100)


def game(name: str, freezes: bool = True, at_once: bool = False, compiled: bool = False) -> float:
    """Seconds of a plain loop of a GAN.

    Args:
        name: of `gans.CASES`
        freezes: the discriminator in the generator's update
        at_once: the discriminator sees real and fake examples in one pass
        compiled: both networks are
    """
    torch.compiler.reset()
    case = gans.CASES[name]
    generator, discriminator = case.networks()
    first, second = gans.adam(generator), gans.adam(discriminator)
    make, judge = generator, discriminator
    if compiled:
        make, judge = torch.compile(generator), torch.compile(discriminator)

    def step(images: Tensor, _: Tensor) -> None:
        images = centred(images)
        fakes = make(torch.randn(len(images), case.latent))
        second.zero_grad()
        if at_once:
            real, fake = judge(torch.cat([images, fakes.detach()])).chunk(2)
        else:
            real, fake = judge(images), judge(fakes.detach())
        (softplus(-real).mean() + softplus(fake).mean()).backward()
        second.step()
        discriminator.requires_grad_(not freezes)
        first.zero_grad()
        softplus(-judge(fakes)).mean().backward()
        first.step()
        discriminator.requires_grad_(True)

    return loop(step, batches(case.data()), case.steps)


def of_games(
    label: str, used: str, names: tuple[str, ...], pulled: dict, without: dict
) -> dict[str, Lever]:
    """A lever of GANs, by each pair of networks."""
    return {
        f"{label}, {name}": Lever(
            label,
            f"GAN, {name}",
            partial(game, name, **pulled),
            partial(game, name, **without),
            used,
        )
        for name in names
    }


SEES_ITS_BATCH = "no: a discriminator of one's own may look at its whole batch"
LEVERS = {
    "several batches": Lever(
        f"{TOGETHER} batches in one hook call",
        "regression 10-10-1, bare Trainer",
        partial(several, TOGETHER),
        partial(several, 1),
        "no: one batch is one step",
    ),
    "several batches, loop": Lever(
        f"{TOGETHER} batches in one hook call, over a plain loop",
        "regression 10-10-1, bare Trainer",
        partial(several, TOGETHER),
        smallest_loop,
        "no: one batch is one step",
    ),
    "kept steps": Lever(
        "a row of metrics every 50 steps, not every one",
        "regression 10-10-1",
        smallest,
        partial(smallest, "--trainer.log_every_n_steps=1"),
        "by `--trainer.log_every_n_steps`; configs of small data have 4",
    ),
    "callbacks' hooks": Lever(
        "empty hooks of callbacks left out", "regression 10-10-1", smallest, all_hooks, "yes"
    ),
    "module's hooks": Lever(
        "empty hooks of the module left out, too",
        "regression 10-10-1",
        no_module_hooks,
        smallest,
        "not yet",
    ),
    "fused": Lever(
        "fused Adam, and no loss read in a step",
        "MNIST student, plain loop",
        partial(student, students.plain),
        partial(student, students.common),
        "yes",
    ),
    "compile, student": Lever(
        "`torch.compile` of the network",
        "MNIST student, plain loop",
        partial(student, students.plain, compiled=True),
        partial(student, students.plain),
        "by `--config compile`",
    ),
    **of_games(
        "`torch.compile` of both networks",
        "by `--config compile`",
        ("points 4x64", "MLP"),
        {"compiled": True},
        {},
    ),
    **of_games(
        "the discriminator frozen in the generator's update",
        "yes",
        tuple(gans.CASES),
        {},
        {"freezes": False},
    ),
    **of_games(
        "real and fake in one pass of the discriminator",
        SEES_ITS_BATCH,
        ("MLP", "points 4x64", "points 4x400"),
        {"at_once": True},
        {},
    ),
}


def kept() -> dict[str, Any]:
    """The rounds' seconds, by the lever's name; and `machine`."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def measured() -> list[list[str]]:
    """A row for each lever."""
    rows, found = [["lever", "of", "with it / without", "of a round", "used here"]], kept()
    for name, lever in LEVERS.items():
        if name in found:
            ratio, low, high = ratios(found[name], Goal("pulled", "without", 1.0))
            cells = [f"{ratio:.3g}", f"{low:.3g} to {high:.3g}", lever.used]
            rows.append([lever.what, lever.work, *cells])
    return rows


def main() -> None:
    """Measures, and writes the table."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--only", nargs="+", choices=LEVERS, default=list(LEVERS))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    silence_noise()
    kept_here(FILE)
    for name in tqdm(given.only):
        lever = LEVERS[name]
        sides = {"pulled": lever.pulled, "without": lever.without}
        rounds = list(Comparison(lever.what, sides, []).timed(given.rounds))
        found = kept_here(FILE) | {name: rounds, "machine": machine()}
        replace_file(FILE, json.dumps(found, indent=1) + "\n")
    pages.write()
    print("\n".join(f"| {' | '.join(row)} |" for row in measured()))


if __name__ == "__main__":
    main()
