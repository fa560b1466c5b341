"""What each callback that every run has costs in a training step, by Lightning's profiler.

python benchmarks/default_callbacks.py [--steps 1000] [--rounds 3]

Two recipes by the command line: the smallest regression, 10-10-1 in batches of 32, and the MNIST
student 784-800-800-10 in batches of 128. First a step is timed without the profiler; then the time
of a core in each callback's hooks of a batch is summed, less what taking the time takes. Medians
over rounds; default_callbacks.json keeps them. Two minutes on one core. A callback without such a
hook takes nothing, and is in the row before the last.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule

import pages
from beside import regressions, students
from beside.comparison import machine
from beside.costs import Costs, empty
from beside.fits import WARM, fit
from recipes.classify import Classify
from recipes.parts.files import replace_file
from recipes.regress import Regress
from recipes.running.messages import silence_noise

FILE = Path(__file__).with_name("default_callbacks.json")
WORK: dict[str, tuple[type[LightningModule], dict[str, Any]]] = {
    "regression 10-10-1": (Regress, regressions.CONFIG),
    "MNIST student": (Classify, students.CONFIG),
}
GOALS = {"regression 10-10-1": 10.0, "MNIST student": 2.0}  # percent of a step, all together


def measure(work: str, steps: int) -> tuple[float, dict[str, float]]:
    """Microseconds of a step, and of each callback in it."""
    module, config = WORK[work]
    seconds = fit(module, config, steps).seconds
    Costs.seconds.clear()
    Costs.calls.clear()
    profiled = config | {
        "trainer": config.get("trainer", {}) | {"profiler": {"class_path": "beside.costs.Costs"}}
    }
    fit(module, profiled, steps)
    nothing, made = empty(), steps + WARM + 1
    found = {
        name: 1e6 * max(0.0, Costs.seconds[name] - nothing * Costs.calls[name]) / made
        for name in Costs.seconds
        if name != "Clock"
    }
    return 1e6 * seconds / steps, found


def costs() -> list[list[str]]:
    """A row for each callback, the dearest first, then all of them together."""
    known = json.loads(FILE.read_text())["work"] if FILE.exists() else {}
    labels = [f"{work}, {unit}" for work in known for unit in ("µs", "% of a step")]
    of_each = {work: found["callbacks"] for work, found in known.items()}
    together = {work: sum(found.values()) for work, found in of_each.items()}
    every = {name for found in of_each.values() for name in found}
    idle = sorted(n for n in every if not any(found.get(n) for found in of_each.values()))
    names = sorted(every.difference(idle))
    names.sort(key=lambda name: -max(found.get(name, 0.0) for found in of_each.values()))

    def row(name: str, values: dict[str, float]) -> list[str]:
        cells = [name]
        for work, value in values.items():
            cells += [f"{value:.1f}", f"{100 * value / known[work]['step']:.2f}"]
        return cells

    rows = [row(name, {w: found.get(name, 0.0) for w, found in of_each.items()}) for name in names]
    if idle:
        rows.append(row(", ".join(idle), dict.fromkeys(known, 0.0)))
    said = ["goal"]
    for work in known:
        percent = 100 * together[work] / known[work]["step"]
        is_reached = percent <= GOALS[work]
        said += ["", f"≤ {GOALS[work]:g}: {'reached' if is_reached else 'missed'}"]
    return [["callback", *labels], *rows, row("together", together), said]


def main() -> None:
    """Measures, and writes the table."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    silence_noise()
    found: dict[str, Any] = {}
    for work in WORK:
        rounds = [measure(work, given.steps) for _ in range(given.rounds)]
        names = {name for _, costs in rounds for name in costs}
        found[work] = {
            "step": statistics.median(step for step, _ in rounds),
            "callbacks": {
                name: statistics.median(costs.get(name, 0.0) for _, costs in rounds)
                for name in sorted(names)
            },
        }
    replace_file(FILE, json.dumps({"machine": machine(), "work": found}, indent=1) + "\n")
    pages.write()
    print("\n".join(f"| {' | '.join(row)} |" for row in costs()))


if __name__ == "__main__":
    main()
