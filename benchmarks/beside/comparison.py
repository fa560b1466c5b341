"""Sides that do the same work are timed in turn, and compared by the ratio of their medians."""

import json
import platform
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from recipes.parts.kernels import LACKS_BF16

# In one round, the seconds of a side; and by how much two sides' weights differ in the end.
Side, Apart = Callable[[], float], Callable[[], float]
PACKAGES = ("torch", "lightning", "numpy", "scikit-learn", "wandb")


@dataclass(frozen=True)
class Goal:
    """A row of the table.

    Attributes:
        side: ours
        beside: another side, or nothing where the goal is in seconds
        most: the ratio of their seconds, or the seconds, that is to be reached
    """

    side: str
    beside: str
    most: float


@dataclass(frozen=True)
class Comparison:
    """Sides of the same work.

    Attributes:
        work: what each does
        sides: seconds of one round, by name
        goals: what is compared
        apart: the largest difference of two sides' weights after the same steps, by both's names;
            it is measured before anything is timed
        tolerance: of that difference
        rounds: how often the sides take turns, times the command's
    """

    work: str
    sides: dict[str, Side]
    goals: list[Goal]
    apart: dict[str, Apart] = field(default_factory=dict)
    tolerance: float = 0.0
    rounds: float = 1.0

    def proved(self) -> dict[str, float]:
        """How far the sides' weights are apart.

        Raises:
            ValueError: where that is more than the tolerance: other mathematics are not compared
        """
        found = {name: measure() for name, measure in self.apart.items() if is_timed(name)}
        for name, apart in found.items():
            if not apart <= self.tolerance:
                raise ValueError(f"{self.work}: {name}: weights are {apart:.1e} apart")
        return found

    def timed(self, rounds: int) -> Iterator[dict[str, float]]:
        """The seconds of each side, round by round; every second round is backwards."""
        names = list(filter(is_timed, self.sides))
        for number in range(max(1, round(rounds * self.rounds))):
            order = names[:: -1 if number % 2 else 1]
            found = {name: self.sides[name]() for name in order}
            yield {name: found[name] for name in names}


def is_timed(side: str) -> bool:
    """Whether this machine can tell how fast a side is: not of bfloat16 that it computes slowly."""
    return not (LACKS_BF16 and "bf16" in side)


def ratios(rounds: list[dict[str, float]], goal: Goal) -> tuple[float, float, float]:
    """The ratio of two sides' medians, and the smallest and largest ratio of a round.

    Args:
        rounds: seconds of each side
        goal: which sides; the second may be missing, and then they are seconds
    """
    own = [found[goal.side] for found in rounds]
    other = [found[goal.beside] if goal.beside else 1.0 for found in rounds]
    each = [a / b for a, b in zip(own, other, strict=True)]
    return statistics.median(own) / statistics.median(other), min(each), max(each)


def verdict(ratio: float, goal: Goal) -> str:
    """Whether a goal is reached."""
    if ratio <= goal.most:
        return "reached"
    return f"missed by {100 * (ratio / goal.most - 1):.0f} %"


def machine() -> dict[str, Any]:
    """What it was measured on."""
    names = [line for line in cpu_lines() if line.startswith("model name")]
    return {
        "processor": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": len(names) or None,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def kept_here(file: Path) -> dict[str, Any]:
    """What a file keeps of this machine, to go on with; nothing if there is no file.

    Raises:
        SystemExit: if it is of another machine or of other versions, which are not to be mixed
    """
    found = json.loads(file.read_text()) if file.exists() else {}
    if found and found["machine"] != machine():
        sys.exit(f"error: {file.name} is of another machine or of other versions: remove it first")
    return found


def cpu_lines() -> list[str]:
    """What Linux says of its processors."""
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
