"""Feedback alignment on MNIST beside back-propagation, at a sixtieth of Nøkland 2016's epochs.

python benchmarks/feedback_mnist.py [--data_dir data/mnist] [--methods direct ...]

The config recipes/feedback/mnist_short.yaml by each method: the rate with the fewest validation
errors of seed 0, then seeds 1 and 2 there. Test data are used once by each of the three runs, after
the rate is chosen. It may be stopped and started again: feedback_mnist.json keeps each run.
"""

import argparse
import json
from pathlib import Path

from recipes.parts.files import replace_file
from recipes.seeds.result import final
from recipes.seeds.wanted import Wanted
from tables import finish, mean_std

FILE = Path(__file__).with_name("feedback_mnist.json")
RATES, SEEDS = (0.0003, 0.001, 0.003), (0, 1, 2)
SPLITS = ("val", "test")  # 10,000 images each
METHODS = {  # by back-propagation weights of zero stay zero
    "backpropagation": "uniform",
    "alignment": "zeros",
    "direct": "zeros",
}


def wanted(method: str, rate: float, seed: int, data_dir: str) -> Wanted:
    """One run."""
    flags = (
        f"--model.network.feedback={method}",
        f"--model.network.start={METHODS[method]}",
        f"--model.optimizer.lr={rate}",
        f"--data.data_dir={data_dir}",
        f"--seed_everything={seed}",
    )
    name = f"mnist_short-{method}-{rate}-s{seed}"
    return Wanted("feedback", name, ("--config=mnist_short", *flags))


def stored() -> dict[str, dict[str, float]]:
    """What is done: the metrics of each run, by its name."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def made(run: Wanted, test: bool) -> dict[str, float]:
    """Metrics of a run, which is trained, and tested, first if need be; they are kept at once."""
    done = stored().get(run.name, {})
    if not done or (test and "test/errors" not in done):
        finish(run, test)
        done = final(run.folder)
        replace_file(FILE, json.dumps(stored() | {run.name: done}, indent=1) + "\n")
    return done


def make(method: str, data_dir: str) -> None:
    """Makes what is missing of a method: a run for each rate, then one for each seed."""
    tried = {rate: made(wanted(method, rate, 0, data_dir), test=False) for rate in RATES}
    best = min(RATES, key=lambda rate: tried[rate]["val/errors"])
    for seed in SEEDS:
        made(wanted(method, best, seed, data_dir), test=True)


def compared() -> list[list[str]]:
    """Each method that is done: its rate, and errors in %, mean ± std of the seeds."""
    rows = [["method", "start", "rate", "validation error, %", "test error, %"]]
    for method, start in METHODS.items():
        for rate in RATES:
            names = [wanted(method, rate, seed, "").name for seed in SEEDS]
            runs = [stored().get(name, {}) for name in names]
            if all("test/errors" in run for run in runs):
                errors = [mean_std([run[f"{s}/errors"] / 100 for run in runs], 2) for s in SPLITS]
                rows.append([f"`{method}`", f"`{start}`", f"{rate:g}", *errors])
    return rows


def main() -> None:
    """Makes what is missing, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="data/mnist", help="folder of the four .gz files")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    given = parser.parse_args()
    for method in given.methods:
        make(method, given.data_dir)
    for row in compared():
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
