"""What a training step of the smallest network costs beyond its mathematics, by whose code it is.

python benchmarks/step_profile.py [--steps 1000]

recipes.regress by the command line, 10-10-1 in batches of 32, beside Lightning's Trainer as its
documentation has it, and beside a plain loop of the same mathematics. First each is timed, then run
under Python's profiler for so many steps and for twice as many: the difference is without what a
start takes. Its seconds are given to whose file a function is in, those of a function in C or of
Python's own library to the function that called it, and are scaled to what was timed.
step_profile.json keeps them. A minute on one core.
"""

import argparse
import cProfile
import json
import pstats
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

import pages
from beside import regressions
from beside.comparison import machine
from beside.fits import loop
from beside.regressions import batches, data, network, plain
from recipes.parts.files import replace_file
from recipes.running.messages import silence_noise

FILE = Path(__file__).with_name("step_profile.json")
ROOT = str(Path(__file__).parents[1])
CALLBACKS = ("convergence", "sharding", "stepping")  # in recipes/parts
# Parts of a path, in the order in which they are looked for, and whose they are.
OWNERS = {
    "lightning/pytorch/callbacks/progress": "Lightning's progress bar",
    "rich/": "Lightning's progress bar",
    "logger_connector": "Lightning's log of metrics",
    "torchmetrics/": "Lightning's log of metrics",
    "lightning/pytorch/core/module": "Lightning's log of metrics",
    "lightning/pytorch/loops": "Lightning's loops",
    "lightning/": "Lightning's hooks, strategy and precision",
    f"{ROOT}/callbacks": "callbacks of this project",
    **{f"{ROOT}/recipes/parts/{name}": "callbacks of this project" for name in CALLBACKS},
    f"{ROOT}/recipes/parts/logs": "log and files of this project",
    f"{ROOT}/recipes/running": "log and files of this project",
    f"{ROOT}/datamodules": "reading of batches",
    f"{ROOT}/recipes": "the recipe",
    "torch/optim": "torch: optimizer",
    "torch/": "torch: forward and backward",
}
REST = "all else"


# Each returns the seconds of so many steps.
SIDES: dict[str, Callable[[int], float]] = {
    "recipes.regress": lambda steps: regressions.ours(steps).seconds,
    "stock Trainer": regressions.stock,
    "plain loop": lambda steps: loop(plain(network()), batches(data()), steps),
}


def owner(function: tuple[str, int, str]) -> str | None:
    """Whose a function is; nothing for one in C or of Python's own library."""
    path = function[0].replace("\\", "/")
    return next((whose for part, whose in OWNERS.items() if part in path), None)


def shares(profile: cProfile.Profile) -> Counter[str]:
    """Seconds by owner.

    Args:
        profile: of a side
    """
    found: Counter[str] = Counter()
    for function, (_, _, own, _, callers) in pstats.Stats(profile).stats.items():
        if whose := owner(function):
            found[whose] += own
            continue
        for caller, (_, _, part, _) in callers.items():
            found[owner(caller) or REST] += part
    return found


def measure(side: Callable[[int], float], steps: int) -> dict[str, float]:
    """Microseconds of a step by owner."""
    side(steps)  # what is imported late
    seconds = side(steps)
    found: Counter[str] = Counter()
    for times, sign in ((2, 1), (1, -1)):
        profile = cProfile.Profile()
        profile.enable()
        side(times * steps)
        profile.disable()
        found.update({whose: sign * part for whose, part in shares(profile).items()})
    scale = 1e6 * seconds / steps / found.total()
    return {whose: part * scale for whose, part in found.items()}


def profiled() -> list[list[str]]:
    """A row for each owner, the largest first."""
    known = json.loads(FILE.read_text())["work"] if FILE.exists() else {}
    names = [*dict.fromkeys(OWNERS.values()), REST]
    rows = [["microseconds of a step", *known]]
    rows += [
        [name, *(f"{max(0.0, found.get(name, 0)):.0f}" for found in known.values())]
        for name in names
    ]
    return [*rows, ["together", *(f"{sum(found.values()):.0f}" for found in known.values())]]


def main() -> None:
    """Measures, and writes the table."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--steps", type=int, default=1000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    silence_noise()
    found = {name: measure(side, given.steps) for name, side in SIDES.items()}
    replace_file(FILE, json.dumps({"machine": machine(), "work": found}, indent=1) + "\n")
    pages.write()
    print("\n".join(f"| {' | '.join(row)} |" for row in profiled()))


if __name__ == "__main__":
    main()
