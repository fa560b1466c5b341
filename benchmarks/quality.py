"""Quality against seconds: a validation metric over the clock, of our defaults and of others.

python benchmarks/quality.py [--only classify regress ...] [--seeds 0 1 2]

Each side trains the same examples from its start, on one thread, and is validated as often as the
recipe is: the clock runs through all that a user waits for until the last validation, but the
imports. Sides take turns, seed by seed, so that a busy machine slows all alike; reinforcement
learning without Lightning is judged beside the clock. quality.json keeps the points: what is cut
off goes on with what is missing. On one idle core all recipes take half an hour. dqn and
policy_gradient have a peer that needs `pip install stable-baselines3`.
"""

import argparse
import json
import math
import statistics
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from matplotlib.figure import Figure
from tqdm import tqdm

import pages
from beside.comparison import kept_here, machine
from beside.race import Points, Race, default, raced
from beside.races import RACES
from recipes.parts.drawing import style
from recipes.parts.files import replace_file
from recipes.running.messages import silence_noise
from tables import mean_std

HERE = Path(__file__).parent
FILE, PICTURES = HERE / "quality.json", HERE / "pictures"
SEEDS = [0, 1, 2]


def stored() -> dict[str, dict[str, dict[str, Points]]]:
    """Of each recipe and side, the points of each seed; and `machine`."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def best_so_far(race: Race, points: Points) -> tuple[list[float], list[float]]:
    """Seconds, and the best metric until then."""
    values = [value for _, value in points]
    best = [race.best(values[: count + 1]) for count in range(len(values))]
    return [seconds for seconds, _ in points], best


def draw(race: Race, found: dict[str, dict[str, Points]]) -> None:
    """A line for each side and seed: the best metric so far over the seconds."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(race.sides):
        for number, points in enumerate(found.get(name, {}).values()):
            label = None if number else name
            axes.step(*best_so_far(race, points), where="post", label=label, **style(place))
    axes.set(
        xscale="log",
        xlabel="seconds since the start",
        ylabel=f"{race.metric}, best so far\n({race.unit})",
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(PICTURES / f"quality_{race.recipe}.png", dpi=110)


def seconds_to(race: Race, level: float, curve: tuple[list[float], list[float]]) -> float:
    """When a side was as good as a level; infinity if never."""
    return next(
        (at for at, best in zip(*curve, strict=True) if race.best([best, level]) == best), math.inf
    )


def compared() -> list[list[str]]:
    """A row for each side: how good it became, and when it was as good as the recipe becomes.

    The level is what the recipe reaches by each of its seeds.
    """
    header = ["recipe", "side", "best", "seconds to the last validation"]
    rows = [[*header, "level", "seconds to it"]]
    for race in RACES:
        found = stored().get(race.recipe, {})
        ends = {
            name: [best_so_far(race, p) for p in seeds.values()] for name, seeds in found.items()
        }
        if not (own := ends.get(next(iter(race.sides)))):
            continue
        worst = min if race.best is max else max
        level = worst(best[-1] for _, best in own)
        for name in race.sides:
            if curves := ends.get(name):
                best = mean_std([best[-1] for _, best in curves], race.digits)
                total = statistics.median(seconds[-1] for seconds, _ in curves)
                to = statistics.median(seconds_to(race, level, curve) for curve in curves)
                reached = f"{to:.3g}" if to < math.inf else "not reached"
                row = [f"`{race.recipe}`", name, f"{best} {race.unit}", f"{total:.1f}"]
                rows.append([*row, f"{level:.{race.digits}f}", reached])
    return rows


def main() -> None:
    """Runs what is missing, draws and prints."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    names = [race.recipe for race in RACES]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    given = parser.parse_args()
    if {"dqn", "policy_gradient"} & set(given.only) and find_spec("stable_baselines3") is None:
        sys.exit("error: dqn and policy_gradient need: pip install stable-baselines3")
    torch.set_num_threads(1)
    silence_noise()
    races = [race for race in RACES if race.recipe in given.only]
    runs = [(race, seed, name) for race in races for seed in given.seeds for name in race.sides]
    default("regress", "val/rmse", "--trainer.max_epochs=1")(0, lambda value: None)  # imports
    with suppress(ImportError):
        import_module("stable_baselines3")
    for race, seed, name in tqdm(runs):
        sides = (done := kept_here(FILE)).setdefault(race.recipe, {})
        if str(seed) in sides.setdefault(name, {}):
            continue
        sides[name][str(seed)] = raced(race.sides[name], seed)
        done["machine"] = machine()
        replace_file(FILE, json.dumps(done) + "\n")
    for race in RACES:
        if race.recipe in stored():
            draw(race, stored()[race.recipe])
    pages.write()
    for row in compared():
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
