"""Importance weighted autoencoders on MNIST at a budget, beside Burda et al. 2016, table 1.

python benchmarks/vae_mnist.py [--data_dir data/mnist] [--seeds 0 1 2] [--samples 1 5]

Trains recipes/vae/mnist.yaml, 100 epochs, by one code an image (VAE) and by five (IWAE), and tests
each run once: -log p(x) in nats by 5,000 codes an image. It may be stopped and started again:
vae_mnist.json keeps each run. On one core a run of one code takes some 15 minutes, of five 22.
"""

import argparse
import statistics
from pathlib import Path

from measures import Measures
from recipes.seeds.wanted import Wanted
from tables import finish, mean_std

PAPER = {1: 86.76, 5: 85.54, 50: 84.78}  # -log p(x) by 5,000 codes, one stochastic layer
KEPT = Measures(Path(__file__).with_name("vae_mnist.json"))


def make(samples: int, seed: int, data_dir: str) -> None:
    """Trains and tests a run of so many codes an image, unless it is kept, and keeps it."""
    if KEPT.has(str(samples), seed):
        return
    flags = [f"--data.data_dir={data_dir}", f"--seed_everything={seed}"]
    if samples > 1:
        flags += ["--model.method=iwae", f"--model.samples={samples}"]
    run = Wanted("vae", f"mnist-k{samples}-s{seed}", ("--config=mnist", *flags))
    finish(run)
    KEPT.add(str(samples), run)


def compared() -> list[list[str]]:
    """A row for each number of codes an image."""
    header = ["", "bound", "-log p", "the paper's", "apart", "active units", "min to train"]
    rows = [[*header, "seeds"]]
    for samples, runs in KEPT.stored().items():
        loss, nll, units, seconds = (
            [run[key] for run in runs]
            for key in ("test/loss", "test/nll", "test/active_units", "seconds")
        )
        paper = PAPER[int(samples)]
        name = f"IWAE, k = {samples}" if int(samples) > 1 else "VAE, k = 1"
        cells = [mean_std(loss, 2), mean_std(nll, 2), f"{paper:.2f}"]
        cells += [f"{statistics.mean(nll) - paper:+.2f}", mean_std(units)]
        rows.append([name, *cells, mean_std([each / 60 for each in seconds]), str(len(runs))])
    return rows


def main() -> None:
    """Makes what is missing, and prints a row for each number of codes."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data_dir", default="data/mnist", help="folder of the four .gz files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--samples", type=int, nargs="+", default=[1, 5], choices=PAPER, help="codes an image"
    )
    chosen = parser.parse_args()
    for samples in chosen.samples:
        for seed in chosen.seeds:
            make(samples, seed, chosen.data_dir)
    for cells in compared():
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
