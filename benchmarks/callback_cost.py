"""What callbacks cost: training time of the MNIST student with each, over that without.

python benchmarks/callback_cost.py [--data_dir ~/mnist] [--rounds 15]

The student of recipes/classify/mnist.yaml (784-800-800-10, batches of 128, fused Adam, bf16), as
the command line trains it, without W&B. All are timed in turn, 400 batches each, and a figure is
the median over rounds of the ratio to the run without in the same round: machines are noisy.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from tqdm import tqdm

from callbacks import EMA, L1, FiniteLoss, KeyedNoise, LRDecay, OptimizerStats, Prune, Throughput
from datamodules import MNIST
from recipes.classify import Classify
from recipes.files import MetricsFile
from recipes.messages import silence_noise
from recipes.networks import MLP

BATCHES = 400
MEASURED = {
    "nothing, again": list,
    "KeyedNoise": lambda: [KeyedNoise(0)],
    "FiniteLoss": lambda: [FiniteLoss()],
    "LRDecay": lambda: [LRDecay(warmup=40)],
    "OptimizerStats": lambda: [OptimizerStats()],
    "OptimizerStats, every batch": lambda: [OptimizerStats(every=1)],
    "OptimizerStats, layers": lambda: [OptimizerStats(layers=True)],
    "Throughput": lambda: [Throughput()],
    "EMA": lambda: [EMA("network")],
    "L1": lambda: [L1(1e-5)],
    "Prune": lambda: [Prune(0.9)],
}


class Clock(Callback):
    """Measures from the first batch to the last, seconds."""

    def on_train_start(self, *args: object) -> None:
        self.start = time.perf_counter()

    def on_train_end(self, *args: object) -> None:
        self.seconds = time.perf_counter() - self.start


def seconds(callbacks: list[Callback], data: MNIST, folder: Path) -> float:
    """Time that a run takes from its first batch to its last."""
    seed_everything(0, verbose=False)
    clock = Clock()
    trainer = Trainer(
        default_root_dir=folder,
        logger=MetricsFile(str(folder / "metrics.jsonl")),
        precision="bf16-mixed",
        max_steps=BATCHES,
        limit_val_batches=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[*callbacks, clock],
    )
    trainer.fit(Classify(MLP(784, [800, 800])), datamodule=data)
    return clock.seconds


def main() -> None:
    """Prints milliseconds per batch and each callback's share, in percent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="data/mnist")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    silence_noise()
    data = MNIST(data_dir=arguments.data_dir)
    ratios: dict[str, list[float]] = {name: [] for name in MEASURED}
    alone = []
    with tempfile.TemporaryDirectory() as folder:
        seconds([], data, Path(folder))  # the first is slow
        for _ in tqdm(range(arguments.rounds), "rounds"):
            alone.append(seconds([], data, Path(folder)))
            for name, make in MEASURED.items():
                ratios[name].append(seconds(make(), data, Path(folder)) / alone[-1])
    cores = f"{torch.get_num_threads()} threads, median of {arguments.rounds} rounds"
    print(f"{1000 * statistics.median(alone) / BATCHES:.2f} ms a batch without ({cores})")
    for name, values in ratios.items():
        quarter, median, three = statistics.quantiles(values, n=4)
        percent = [100 * (value - 1) for value in (median, quarter, three)]
        print("{:30}{:+6.1f} %   (quartiles {:+.1f} and {:+.1f})".format(name, *percent))


if __name__ == "__main__":
    main()
