"""What callbacks cost: training time of the MNIST student with each, over that without.

python benchmarks/callback_cost.py [--data_dir ~/mnist] [--rounds 10] [--blocks 4] [--wall]

The student of recipes/classify/mnist.yaml (784-800-800-10, batches of 128, fused Adam, bf16), as
the command line trains it, without W&B. Machines are noisy: two runs, one with the callback and one
without, train in turn, 10 batches each, so that both meet the same noise, and what is measured is
the time that a core spends on each, without what other programs take of it (--wall: with that). In
a round, that is the median over blocks of 100 batches, the default interval of OptimizerStats, of
the ratio of their times. A figure is the median over rounds, with its 95 % interval: what differs
between two runs, such as where their memory lies, differs in all of their blocks, and blocks alone
would make the interval too narrow. In every second round the two change their places. The first
block of each run is its start, and is given in milliseconds. "nothing" shows what the method makes
of no difference.
"""

import argparse
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from tqdm import tqdm

from callbacks import (
    EMA,
    L1,
    FiniteLoss,
    GradientClip,
    KeyedNoise,
    LRDecay,
    MaxNorm,
    OptimizerStats,
    Prune,
    Throughput,
    Totals,
)
from datamodules import MNIST
from recipes.classify import Classify
from recipes.parts.networks import MLP
from recipes.running.files import MetricsFile
from recipes.running.messages import silence_noise

BLOCK, TURN = 100, 10  # batches
# Lightning refuses to clip for a fused optimizer in mixed precision: there it is not fused, nor in
# the run that is compared.
FLAG, NO_FLAG = {"gradient_clip_val": 1.0}, {"gradient_clip_val": None}


def alone() -> tuple[list[Callback], dict]:
    """Callbacks and the Trainer's flags of a run without any."""
    return [], {}


def with_clip() -> tuple[list[Callback], dict]:
    """Of a run that GradientClip clips."""
    return [GradientClip(1.0)], {}


def not_fused() -> tuple[list[Callback], dict]:
    """Of a run like those that Lightning clips."""
    return [], NO_FLAG


def with_flag() -> tuple[list[Callback], dict]:
    """Of a run that Lightning clips."""
    return [], FLAG


# What is measured, and what that is compared with.
Setup = Callable[[], tuple[list[Callback], dict]]
MEASURED: dict[str, tuple[Setup, Setup]] = {
    "nothing": (alone, alone),
    "a callback that does nothing": (lambda: ([Callback()], {}), alone),
    "KeyedNoise": (lambda: ([KeyedNoise(0)], {}), alone),
    "FiniteLoss": (lambda: ([FiniteLoss()], {}), alone),
    "LRDecay": (lambda: ([LRDecay(warmup=40)], {}), alone),
    "OptimizerStats": (lambda: ([OptimizerStats()], {}), alone),
    "OptimizerStats, every batch": (lambda: ([OptimizerStats(every=1)], {}), alone),
    "OptimizerStats, layers": (lambda: ([OptimizerStats(layers=True)], {}), alone),
    "GradientClip": (with_clip, alone),
    "  OptimizerStats beside it": (lambda: ([GradientClip(1.0), OptimizerStats()], {}), with_clip),
    "trainer.gradient_clip_val": (with_flag, not_fused),
    "  OptimizerStats beside that": (lambda: ([OptimizerStats()], FLAG), with_flag),
    "Throughput": (lambda: ([Throughput()], {}), alone),
    "Totals": (lambda: ([Totals()], {}), alone),
    "EMA": (lambda: ([EMA("network")], {}), alone),
    "L1": (lambda: ([L1(1e-5)], {}), alone),
    "MaxNorm": (lambda: ([MaxNorm()], {}), alone),
    "Prune": (lambda: ([Prune(0.9)], {}), alone),
}


class Turns(Callback):
    """Trains a few batches whenever it is this run's turn, and measures blocks in seconds."""

    def __init__(
        self,
        own: threading.Semaphore,
        other: threading.Semaphore,
        clock: Callable[[], float],
    ) -> None:
        self.own, self.other, self.clock = own, other, clock
        self.seconds: list[float] = []
        self.batches = 0
        self.failed = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.own.acquire()
        self.start = self.clock()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        if self.batches and self.batches % TURN == 0:
            self._pass_on()
            self.own.acquire()
            self.start = self.clock()
        if self.batches % BLOCK == 0:
            self.seconds.append(0.0)
        self.batches += 1

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pass_on()

    def on_exception(self, *args: object) -> None:
        self.failed = True
        self.other.release(10**9)  # which ends by itself, too

    def _pass_on(self) -> None:
        self.seconds[-1] += self.clock() - self.start
        self.other.release()


def train(setup: Setup, turns: Turns, blocks: int, data: MNIST, folder: Path) -> None:
    """A run of some blocks."""
    callbacks, flags = setup()
    fused = "gradient_clip_val" not in flags
    network = MLP(784, [800, 800])
    Trainer(
        default_root_dir=folder,
        logger=MetricsFile(str(folder / "metrics.jsonl")),
        precision="bf16-mixed",
        max_epochs=-1,
        max_steps=BLOCK * blocks,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[*callbacks, turns],
        **flags,
    ).fit(Classify(network, lambda p: torch.optim.Adam(p, fused=fused)), datamodule=data)


def in_turn(
    pair: tuple[Setup, Setup],
    blocks: int,
    data: Callable[[], MNIST],
    folder: Path,
    clock: Callable[[], float],
) -> tuple[list[float], list[float]]:
    """Seconds of each block of the first of two runs, and of the second, which begins."""
    seed_everything(0, verbose=False)
    one, two = threading.Semaphore(0), threading.Semaphore(1)
    first, second = Turns(one, two, clock), Turns(two, one, clock)
    threads = []
    for name, setup, turns in (("first", pair[0], first), ("second", pair[1], second)):
        (folder / name).mkdir(exist_ok=True)
        arguments = (setup, turns, blocks, data(), folder / name)
        threads.append(threading.Thread(target=train, args=arguments, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if first.failed or second.failed:
        raise SystemExit("a run failed: see above")
    return first.seconds, second.seconds


def interval(values: list[float]) -> tuple[float, float]:
    """The 95 % interval of the median, by the ranks of a fair coin."""
    count = len(values)
    low = max(0, math.floor((count - 1.96 * math.sqrt(count)) / 2))
    return sorted(values)[low], sorted(values)[count - 1 - low]


def main() -> None:
    """Prints milliseconds per batch and each callback's share, in percent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="data/mnist")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=list(MEASURED), help="lines to measure")
    parser.add_argument("--wall", action="store_true", help="also count what others take")
    arguments = parser.parse_args()
    silence_noise()
    torch.set_num_threads(1)  # the clock is of one
    clock = time.perf_counter if arguments.wall else time.thread_time
    chosen = {name: pair for name, pair in MEASURED.items() if name.strip() in arguments.only}
    chosen = chosen or MEASURED
    ratios: dict[str, list[float]] = {name: [] for name in chosen}
    starts: dict[str, list[float]] = {name: [] for name in chosen}
    bare = []

    def data() -> MNIST:
        return MNIST(data_dir=arguments.data_dir)

    with tempfile.TemporaryDirectory() as folder:
        in_turn((alone, alone), 1, data, Path(folder), clock)  # the first is slow
        turns = [(r, name) for r in range(arguments.rounds) for name in chosen]
        for number, name in tqdm(turns, "rounds"):
            pair = chosen[name]
            way = -1 if number % 2 else 1
            both = in_turn(pair[::way], arguments.blocks + 1, data, Path(folder), clock)
            own, other = both[::way]
            starts[name].append(own[0] - other[0])
            blocks = [a / b for a, b in zip(own[1:], other[1:], strict=True)]
            ratios[name].append(statistics.median(blocks))
            bare += other[1:] if pair[1] is alone else []
    print(
        f"{1000 * statistics.median(bare) / BLOCK:.2f} ms a batch without "
        f"(one core); medians of {arguments.rounds} rounds"
    )
    for name, values in ratios.items():
        median, (low, high) = statistics.median(values), interval(values)
        percent = [100 * (value - 1) for value in (median, low, high)]
        start = 1000 * statistics.median(starts[name])
        print("{:30}{:+6.1f} %  ({:+.1f} to {:+.1f})".format(name, *percent), end="")
        print(f"   first {BLOCK}: {start:+5.0f} ms")


if __name__ == "__main__":
    main()
