"""The table and the picture of speed.json: each goal, what was measured, reached or missed."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from beside.comparison import Comparison, ratios, verdict
from beside.everything import COMPARISONS
from recipes.parts.drawing import style

HERE = Path(__file__).parents[1]
FILE, PICTURE = HERE / "speed.json", HERE / "pictures" / "speed.png"
HEADER = ["work", "ours", "beside", "goal", "ratio", "of a round", ""]


def read() -> dict[str, Any]:
    """What is measured, by the comparison's name."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def of_goals(comparison: Comparison, found: dict[str, Any]) -> list[list[str]]:
    """A row for each goal of a comparison.

    Args:
        comparison: with the goals
        found: what is kept of it
    """
    rows = []
    for goal in comparison.goals:
        ratio, low, high = ratios(found["rounds"], goal)
        unit = "" if goal.beside else " s"
        cells = [f"≤ {goal.most:.3g}{unit}", f"{ratio:.3g}{unit}", f"{low:.3g} to {high:.3g}"]
        said = verdict(ratio, goal) + (f": {goal.why}" if goal.why and ratio > goal.most else "")
        rows.append([comparison.work, goal.side, goal.beside, *cells, said])
    return rows


def compared() -> list[list[str]]:
    """All goals of what is measured, in the order of the comparisons."""
    done, rows = read(), [HEADER]
    for name, make in COMPARISONS.items():
        if name in done:
            rows += of_goals(make(), done[name])
    return rows


def draw() -> None:
    """Draws each ratio over its goal: left of the line a goal is reached."""
    done = read()
    goals = [
        (f"{comparison.work}: {goal.side} / {goal.beside or 'seconds'}", ratios(rounds, goal), goal)
        for name, make in COMPARISONS.items()
        if name in done
        for comparison, rounds in [(make(), done[name]["rounds"])]
        for goal in comparison.goals
    ]
    figure = Figure(figsize=(11, 1 + 0.28 * len(goals)), layout="constrained")
    axes = figure.subplots()
    for place, (_, (ratio, low, high), goal) in enumerate(goals):
        look = style(0 if ratio <= goal.most else 1)
        axes.plot([low / goal.most, high / goal.most], [place] * 2, color=look["color"], alpha=0.5)
        axes.plot(ratio / goal.most, place, "o", color=look["color"], markersize=5)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(goals)), [name for name, *_ in goals], fontsize="x-small")
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="time over its goal (left of the line: reached)")
    axes.grid(alpha=0.3, axis="x")
    figure.savefig(PICTURE, dpi=110)
