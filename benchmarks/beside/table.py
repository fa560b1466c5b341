"""The table and the picture of speed.json: each goal, what was measured, reached or missed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from beside.comparison import Comparison, Goal, ratios, verdict
from beside.everything import COMPARISONS
from recipes.parts.drawing import style

HERE = Path(__file__).parents[1]
FILE, PICTURE = HERE / "speed.json", HERE / "pictures" / "speed.png"
MADE = ("speed", "step_profile", "op_profile", "levers")  # files with a machine for each table
MADE += ("default_callbacks", "growth", "quality", "hardware")
HEADER = ["work", "ours", "beside", "apart", "goal", "ratio", "of a round", ""]


def read() -> dict[str, Any]:
    """What is measured, by the comparison's name."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def of_goals(comparison: Comparison, found: dict[str, Any]) -> list[list[str]]:
    """A row for each goal of a comparison.

    Args:
        comparison: with the goals
        found: what is kept of it
    """
    rows, proofs = [], dict(found["apart"])
    for goal in comparison.goals:
        unit = "" if goal.beside else " s"
        apart = proofs.pop(goal.beside, None)  # of the first side; others round, as bf16 does
        proof = "" if apart is None else f"{apart:.0e}" if apart else "0"
        row = [comparison.work, goal.side, goal.beside, proof, f"≤ {goal.most:.3g}{unit}"]
        if is_measured(goal, found):
            ratio, low, high = ratios(found["rounds"], goal)
            row += [f"{ratio:.3g}{unit}", f"{low:.3g} to {high:.3g}", verdict(ratio, goal)]
        else:
            why = ": the processor has no bfloat16" if "bf16" in goal.side + goal.beside else ""
            row += ["", "", f"not measured{why}"]
        rows.append(row)
    return rows


def is_measured(goal: Goal, found: dict[str, Any]) -> bool:
    """Whether both sides of a goal were timed."""
    return {goal.side, goal.beside} - {""} <= found["rounds"][0].keys()


def compared() -> list[list[str]]:
    """All goals of what is measured, in the order of the comparisons."""
    done, rows = read(), [HEADER]
    for name, make in COMPARISONS.items():
        if name in done:
            rows += of_goals(make(), done[name])
    return rows


def machines(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """What is kept of machines anywhere in a file, as text."""
    if isinstance(value, dict) and "processor" in value:
        yield json.dumps(value)
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from machines(part)


def measured_on() -> list[list[str]]:
    """Machines and versions of this page's tables, and which of their files were made by each."""
    rows = [["processor", "cores", "GPU", "python", "versions", "tables"]]
    made: dict[str, list[str]] = {}
    for name in MADE:
        file = HERE / f"{name}.json"
        found = json.loads(file.read_text()) if file.exists() else {}
        for text in dict.fromkeys(machines(found)):
            made.setdefault(text, []).append(f"`{name}`")
    for text, names in made.items():
        machine = json.loads(text)
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        what = [machine["processor"], str(machine["cores"]), machine["gpu"] or "none"]
        rows.append([*what, machine["python"], versions, ", ".join(names)])
    return rows


def draw() -> None:
    """Draws each ratio over its goal: left of the line a goal is reached."""
    done = read()
    goals = [
        (
            f"{name}: {goal.side} / {goal.beside or 'seconds'}",
            ratios(done[name]["rounds"], goal),
            goal,
        )
        for name, make in COMPARISONS.items()
        if name in done
        for goal in make().goals
        if is_measured(goal, done[name])
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
    for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        ticks("{x:g}")
    axes.grid(alpha=0.3, axis="x")
    figure.savefig(PICTURE, dpi=110)
