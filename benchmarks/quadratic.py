"""DeepOBS's quadratic_deep: the published test losses beside those of recipes.study.

python benchmarks/quadratic.py [--seeds 10]

Schneider, Balles & Hennig, "DeepOBS: A Deep Learning Optimizer Benchmark Suite" (2019). The rates
are those that the benchmark has tuned; a seed decides the order of the batches, which the published
pipeline kept for all epochs. Nothing is selected. The loss is that after 100 epochs, mean ± std of
seeds.
"""

import argparse
import csv

import torch

from datamodules import Quadratic
from recipes.parts.networks import QuadraticModel
from tables import finished, mean_std

PUBLISHED = {"SGD": 87.40, "momentum": 87.05, "Adam": 87.11}


def test_losses(name: str, *flags: str) -> dict[str, list[float]]:
    """The test loss of each seed, by optimizer."""
    folder = finished("study", "quadratic", name, *flags)
    losses: dict[str, list[float]] = {}
    with (folder / "test.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["seed"] != "ensemble":
                losses.setdefault(row["optimizer"], []).append(float(row["loss"]))
    return losses


@torch.no_grad()
def reference() -> tuple[float, float]:
    """Test loss at the start, and at the minimum of the training loss: the mean of its rows."""
    rows, model = Quadratic().splits(0), QuadraticModel().double()
    test = rows.test.inputs
    start = model(test).mean().item()
    model.theta.copy_(rows.train.inputs.mean(0))
    return start, model(test).mean().item()


def main() -> None:
    """Prints test losses, with one order of the batches and with a new one in each epoch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    seeds = f"--model.seeds={list(range(parser.parse_args().seeds))}"
    kept = test_losses("quadratic-one-order", seeds, "--data.reshuffle=false")
    fresh = test_losses("quadratic-reshuffled", seeds)
    start, optimum = reference()
    print("| test loss | published | one order | reshuffled |\n|---|---|---|---|")
    print(f"| at the start | 353.4468 | {start:.4f} | |")
    for label, loss in PUBLISHED.items():
        print(
            f"| {label} | {loss:.2f} | {mean_std(kept[label], 2)} | {mean_std(fresh[label], 2)} |"
        )
    print(f"| at the training loss's minimum | 87.04601 | {optimum:.5f} | |")


if __name__ == "__main__":
    main()
