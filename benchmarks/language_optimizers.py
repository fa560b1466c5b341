"""Optimizers and learning-rate decays on the LSTM language model, each at its best rate.

python benchmarks/language_optimizers.py [--jobs 1]

The config recipes/language/shakespeare.yaml for 500 batches, half of its text read once. Of each
optimizer (with the config's cosine) and each decay (with Adam) the rate is sought by steps of
sqrt(10), with one seed, until both neighbours have a higher validation loss; then it is trained
from three other seeds. It may be stopped and started again: language_optimizers.json keeps what is
done, and the picture of it is drawn anew.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from recipes.parts.drawing import style
from recipes.parts.files import replace_file
from recipes.seeds.result import final
from recipes.seeds.several import complete
from recipes.seeds.wanted import Wanted
from tables import mean_std

HERE = Path(__file__).parent
FILE, PICTURE = HERE / "language_optimizers.json", HERE / "pictures" / "language_optimizers.png"
BATCHES, SEARCH, SEEDS = 500, 100, (0, 1, 2)
METRIC = "val/loss"  # of which the search and the table are: the split has no test text


@dataclass(frozen=True)
class Setting:
    """What is compared.

    Attributes:
        start: the search's first rate is 10^(start / 2)
        options: of the optimizer or of LRDecay
    """

    start: int
    options: tuple[str, ...]


OPTIMIZERS = {
    "SGD": Setting(1, ("=SGD",)),
    "SGD, momentum 0.9": Setting(0, ("=SGD", ".momentum=0.9")),
    "Adagrad": Setting(-3, ("=Adagrad",)),
    "RMSprop": Setting(-5, ("=RMSprop",)),
    "Adam": Setting(-4, ("=Adam",)),
}
DECAYS = {
    "constant": Setting(-4, ("warmup=5%",)),
    "step": Setting(-4, ("warmup=5%", "every=25%", "gamma=0.5")),
    "exponential": Setting(-4, ("warmup=5%", "every=100%", "gamma=0.01")),
    "inverse_sqrt": Setting(-4, ("warmup=5%",)),
    "linear": Setting(-4, ("warmup=5%",)),
    "one_cycle": Setting(-4, ()),
    "wsd": Setting(-4, ("warmup=5%", "decay=20%")),
}
SETTINGS = OPTIMIZERS | DECAYS


def rate(exponent: int) -> float:
    """10^(exponent / 2), to three digits."""
    return float(f"{10 ** (exponent / 2):.3g}")


def wanted(name: str, exponent: int, seed: int) -> Wanted:
    """The run of a setting at one rate from one seed."""
    options = SETTINGS[name].options
    if name in OPTIMIZERS:
        flags = [f"--model.optimizer{option}" for option in options]
    else:
        flags = ["--trainer.callbacks+=LRDecay", f"--trainer.callbacks.schedule={name}"]
        flags += [f"--trainer.callbacks.{option}" for option in options]
    flags += [f"--model.optimizer.lr={rate(exponent)}", "--trainer.max_epochs=1"]
    flags += [f"--trainer.limit_train_batches={BATCHES}"]
    group = f"optimizers-{name.replace(', ', '-').replace(' ', '')}-{rate(exponent)}"
    return Wanted.of_seed("language", group, ["shakespeare"], flags, seed)


def loss(run: Wanted) -> float:
    """Validation loss of a run, nats per character; infinite if it has diverged.

    Raises:
        SystemExit: if it has failed otherwise
    """
    if run.is_finished:
        return final(run.folder)[METRIC]
    log = run.folder.with_name(f"{run.name}.log")
    if "diverged at step" in log.read_text():
        return math.inf
    sys.exit(f"error: {run.name} has failed: see {log}")


def losses(runs: Iterable[Wanted], jobs: int) -> list[float]:
    """The losses of some runs, which are made first if need be."""
    every = list(runs)
    complete(every, "fit", jobs)
    return [loss(run) for run in every]


def lowest(start: int, found: dict[int, float], jobs: int, name: str) -> int:
    """The exponent, from `start` on, both of whose neighbours have a higher loss.

    Args:
        start: of the search
        found: takes each loss, by exponent
        jobs: runs at once
        name: of the setting
    """
    while True:
        near = [start - 1, start, start + 1]
        new = [exponent for exponent in near if exponent not in found]
        of_new = losses((wanted(name, exponent, SEARCH) for exponent in new), jobs)
        found |= dict(zip(new, of_new, strict=True))
        best = min(near, key=found.__getitem__)
        if best == start:
            return best
        start = best


def made(name: str, jobs: int) -> dict[str, Any]:
    """What comes of a setting: losses by rate with the search's seed, the best rate, and its."""
    found: dict[int, float] = {}
    best = lowest(SETTINGS[name].start, found, jobs, name)
    runs = [wanted(name, best, seed) for seed in SEEDS]
    return {
        "rates": [rate(exponent) for exponent in sorted(found)],
        "search": [value if math.isfinite(value) else None for _, value in sorted(found.items())],
        "rate": rate(best),
        METRIC: losses(runs, jobs),
        "commit": runs[0].facts.get("commit"),
    }


def stored() -> dict[str, dict[str, Any]]:
    """What is done, by setting."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def compared() -> list[list[str]]:
    """The best rate of each setting that is done, and the loss there, mean ± std of seeds."""
    rows = [["optimizer", "decay", "best rate", "val/loss"]]
    for name, found in stored().items():
        setting = [name, "cosine"] if name in OPTIMIZERS else ["Adam", name]
        rows.append([*setting, f"{found['rate']:g}", mean_std(found[METRIC], 3)])
    return rows


def draw(path: Path) -> None:
    """Validation loss over the learning rate: of the optimizers, and of the decays."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    done = stored()
    panels = zip(figure.subplots(1, 2, sharey=True), (OPTIMIZERS, ["Adam", *DECAYS]), strict=True)
    for axes, names in panels:
        for number, name in enumerate(name for name in names if name in done):
            label = "cosine" if name == "Adam" and names is not OPTIMIZERS else name
            found, look = done[name], style(number)
            axes.plot(found["rates"], found["search"], "o", markersize=3.5, label=label, **look)
        axes.set(xscale="log", xlabel="learning rate at its peak", ylim=(None, 3.0))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    figure.axes[0].set(ylabel="validation loss, nats per character", title="optimizers, cosine")
    figure.axes[1].set(title="decays, Adam")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Makes what is missing, prints the table, and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    given = parser.parse_args()
    for name in SETTINGS:
        if name not in stored():
            replace_file(
                FILE, json.dumps(stored() | {name: made(name, given.jobs)}, indent=1) + "\n"
            )
    for row in compared():
        print(f"| {' | '.join(row)} |")
    draw(PICTURE)


if __name__ == "__main__":
    main()
