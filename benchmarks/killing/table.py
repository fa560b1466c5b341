"""The tables of what was killed, and of what ran for long."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from killing.points import POINTS

FILE = Path(__file__).parents[1] / "faults.json"  # "<arm>: <case>" to what is wrong, or nothing
SOAK = FILE.with_name("soak.json")
KINDS = {
    "not killed": "not killed: trained twice",
    "random moment": "SIGKILL at a random moment",
    "during a save": "SIGKILL during the save of 30 to 70 MB",
    "fixed point": "SIGKILL at a fixed point (below)",
    "one process": "SIGTERM, SIGINT",
    "two": "SIGTERM, SIGINT, SIGKILL to one or both of two processes",
}
LATE = "never killed in time"  # a run that ended before the signal, at each attempt: not tried
Rows = list[list[str]]  # of a table, its header first


def read(path: Path) -> dict[str, Any]:
    """What a file of results says; nothing if there is none."""
    return json.loads(path.read_text()) if path.exists() else {}


def counted(verdicts: dict[str, str], labels: dict[str, str], what: str) -> Rows:
    """A row for each part of the cases: tried, identical and lost of both.

    Args:
        verdicts: as in the file
        labels: what a case's name has in it, and what its row is called
        what: header of the first column
    """
    header = [what, "tried", "identical", "lost", "stock: tried", "identical", "lost", "how"]
    rows = [header]
    for part, label in labels.items():
        row, how = [label], ""
        for arm in ("ours", "stock"):
            tried = {k: v for k, v in verdicts.items() if k.startswith(f"{arm}: ") and v != LATE}
            faults = [v for k, v in tried.items() if part in k.removeprefix(arm).split(", ")]
            lost = Counter(fault.partition(":")[0] for fault in faults if fault)
            row += map(str, (len(faults), len(faults) - lost.total(), lost.total()))
            how = ", ".join(f"{fault} {number}" for fault, number in lost.most_common())
        rows.append([*row, how])
    return rows


def by_kind(verdicts: dict[str, str]) -> Rows:
    """A row for each way to kill a run."""
    return counted(verdicts, {f": {kind}": label for kind, label in KINDS.items()}, "killed by")


def by_point(verdicts: dict[str, str]) -> Rows:
    """A row for each point of training."""
    return counted(verdicts, {point: point for point in POINTS}, "killed at")


def soaked(found: dict[str, Any]) -> Rows:
    """A row for each recipe that ran for long: what it took at a tenth of its steps and at last."""
    header = ["recipe", "steps", "memory, MiB", "open files", "steps/s", "checkpoint, kB"]
    rows = [[*header, "rows of metrics", "losses"]]
    for recipe, run in sorted(found.items()):
        looks = run["looks"]
        early, half, late = looks[len(looks) // 10 - 1], looks[len(looks) // 2 - 1], looks[-1]

        def both(value: Callable[[dict[str, float]], float], a=early, b=late) -> str:  # noqa: ANN001
            return f"{value(a):,.0f} → {value(b):,.0f}"

        first = (half["step"] - early["step"]) / (half["seconds"] - early["seconds"])
        second = (late["step"] - half["step"]) / (late["seconds"] - half["seconds"])
        rows.append(
            [
                f"`{recipe}`",
                f"{run['steps']:,}",
                both(lambda look: look["memory"] / 2**20),
                both(lambda look: look["files"]),
                f"{first:,.0f} → {second:,.0f}",
                both(lambda look: look["checkpoint"] / 1000),
                "exact" if run["rows_are_exact"] else "not exact",
                "finite" if run["losses_are_finite"] else "not finite",
            ]
        )
    return rows
