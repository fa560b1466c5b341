"""What grows with what: time and peak memory against batch, width, members, rows, runs and trials.

python benchmarks/growth.py [--only batch rows ...] [--largest 10000000]

Each point is measured in a process of its own, three times, on one thread: the seconds of a core
(median) and the memory above what the process had before (largest). Beside training steps stands a
plain loop of the same mathematics; beside the others a dotted line that is proportional. Nothing
should grow faster than the network's own arithmetic or the number of rows. growth.json keeps the
points, and the machine of each: what is cut off goes on with what is missing. Some 50 minutes on
one core of a busy machine.
"""

import argparse
import contextlib
import io
import json
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from tqdm import tqdm

import pages
from beside.comparison import machine
from beside.sizes import SERIES
from recipes.parts.drawing import style
from recipes.parts.files import replace_file
from recipes.running.messages import silence_noise

HERE = Path(__file__).parent
FILE, PICTURE = HERE / "growth.json", HERE / "pictures" / "growth.png"
ROUNDS = 3
ACROSS = 4  # series side by side in the picture


def measure(name: str, which: str, value: int) -> dict[str, float]:
    """Seconds and MiB of one point, in this process.

    Args:
        name: of the series
        which: make or beside
        value: of what grows
    """
    torch.set_num_threads(1)
    silence_noise()
    with tempfile.TemporaryDirectory() as made, contextlib.ExitStack() as stack:
        for quiet in (contextlib.redirect_stdout, contextlib.redirect_stderr):
            stack.enter_context(quiet(io.StringIO()))
        stack.enter_context(contextlib.chdir(made))
        work = getattr(SERIES[name], which)(value, Path(made))
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, start = memory("VmRSS"), time.process_time()
        seconds = work()
        took = time.process_time() - start
        found = {"seconds": took if seconds is None else seconds}
        return found | {"MiB": memory("VmHWM") - before}


def memory(kind: str) -> float:
    """This process's memory, MiB: VmRSS, now; VmHWM, at the most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(kind))


def point(pool: ProcessPoolExecutor, *what: Any) -> dict[str, float]:  # noqa: ANN401 - as `measure`
    """Medians of some rounds, each in a process of its own; the largest memory."""
    rounds = [pool.submit(measure, *what).result() for _ in range(ROUNDS)]
    seconds = statistics.median(each["seconds"] for each in rounds)
    return {"seconds": seconds, "MiB": max(each["MiB"] for each in rounds)}


def kept() -> dict[str, dict[str, Any]]:
    """What is measured: "series, make or beside, value" to seconds, MiB, and the machine `on`."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def curve(done: dict[str, dict[str, float]], name: str, which: str) -> dict[int, dict[str, float]]:
    """The points of a series that are measured, by value."""
    wanted = {value: f"{name}, {which}, {value}" for value in SERIES[name].at}
    found = {value: done[key] for value, key in wanted.items() if key in done}
    # Below a MiB it is what Python happens to take anew.
    return {value: each | {"MiB": max(each["MiB"], 1.0)} for value, each in found.items()}


def exponent(points: dict[int, dict[str, float]], unit: str) -> float:
    """The slope of the last two points, log over log: 1 is proportional."""
    (x, one), (y, other) = list(points.items())[-2:]
    return math.log(other[unit] / one[unit]) / math.log(y / x)


def grown() -> list[list[str]]:
    """A row for each series: its largest point, and how it grows there."""
    header = ["measured", "against", "up to", "seconds there", "MiB there", "time grows as"]
    rows, done = [[*header, "memory as", "plain loop: seconds", "time grows as"]], kept()
    for name, series in SERIES.items():
        points, beside = curve(done, name, "make"), curve(done, name, "beside")
        if len(points) < 2:
            continue
        last, there = list(points.items())[-1]
        powers = [f"x^{exponent(points, unit):.2f}" for unit in ("seconds", "MiB")]
        row = [
            series.what,
            series.of,
            f"{last:,}",
            f"{there['seconds']:.3g}",
            f"{there['MiB']:.0f}",
        ]
        if beside:
            plain = list(beside.values())[-1]["seconds"]
            rows.append([*row, *powers, f"{plain:.3g}", f"x^{exponent(beside, 'seconds'):.2f}"])
        else:
            rows.append([*row, *powers, "", ""])
    return rows


def draw() -> None:
    """Draws each series' seconds, and below them its memory; as many side by side as a page has."""
    done = kept()
    shown = [name for name in SERIES if len(curve(done, name, "make")) > 1]
    bands = -(-len(shown) // ACROSS)
    figure = Figure(figsize=(3 * ACROSS, 5.5 * bands), layout="constrained")
    axes = figure.subplots(2 * bands, ACROSS, squeeze=False)
    for panel in axes.flat:
        panel.set_visible(False)
    for number, name in enumerate(shown):
        series, (band, column) = SERIES[name], divmod(number, ACROSS)
        for row, unit in enumerate(("seconds", "MiB"), start=2 * band):
            panel = axes[row, column]
            panel.set_visible(True)
            points = curve(done, name, "make")
            panel.plot(
                list(points),
                [p[unit] for p in points.values()],
                marker="o",
                label="ours",
                **style(0),
            )
            beside = curve(done, name, "beside")
            if beside:
                values = [p[unit] for p in beside.values()]
                panel.plot(list(beside), values, marker="s", label="plain loop", **style(1))
            else:
                last, there = list(points.items())[-1]
                straight = [there[unit] * value / last for value in points]
                panel.plot(list(points), straight, ":", color="grey", label="proportional")
            panel.set(xscale="log", yscale="log", ylabel=unit if not column else "")
            panel.grid(alpha=0.3)
            panel.legend(fontsize="x-small")
        axes[2 * band, column].set_title(series.what, fontsize="medium")
        axes[2 * band + 1, column].set_xlabel(series.of)
    figure.savefig(PICTURE, dpi=100)


def run() -> None:
    """Measures what is missing, draws it, and writes the table."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--only", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--largest", type=int, default=1_000_000, help="rows and pictures")
    given = parser.parse_args()
    wanted = [
        (name, which, value)
        for name in given.only
        for value in SERIES[name].at
        for which in ("make", "beside")
        if getattr(SERIES[name], which) and value <= given.largest
    ]
    missing = [what for what in wanted if ", ".join(map(str, what)) not in kept()]
    os.environ |= {"WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["growth"])
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for what in tqdm(missing):
            found = kept() | {", ".join(map(str, what)): point(pool, *what) | {"on": machine()}}
            replace_file(FILE, json.dumps(found, indent=1) + "\n")
    draw()
    pages.write()


if __name__ == "__main__":
    run()
