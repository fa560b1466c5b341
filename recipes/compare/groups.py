"""Runs that differ by their seeds alone, as one group: its label and its numbers."""

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recipes.compare.labels import labels, varying_keys
from recipes.compare.runs import Curve, Run

POINTS = 200  # of a curve that is drawn; a screen shows no more


@dataclass
class Group:
    """Runs of one setting, one a seed.

    Attributes:
        label: what tells it from the other groups
        settings: the values of the keys that vary between groups
        runs: with the metric that is compared
    """

    label: str
    settings: dict[str, Any]
    runs: list[Run]

    @property
    def counted(self) -> list[Run]:
        """The runs whose values count: those that have finished, or all if none has."""
        return [run for run in self.runs if run.state == "finished"] or self.runs

    @property
    def is_finished(self) -> bool:
        """Whether any of its runs has come to its end."""
        return any(run.state == "finished" for run in self.runs)

    @property
    def count(self) -> str:
        """How many runs there are: `3`, or `2 + 1 running`."""
        states = [run.state for run in self.runs]
        parts = [f"{states.count(s)} {s}" for s in ("pruned", "running", "stopped") if s in states]
        if finished := states.count("finished"):
            parts.insert(0, str(finished))
        return " + ".join(parts)

    def values(self, value: Callable[[Run], float | None]) -> list[float]:
        """A value of each run that counts, where it is known."""
        return [v for v in map(value, self.counted) if v is not None]


def grouped(runs: Sequence[Run]) -> tuple[list[str], list[Group]]:
    """The keys that vary over runs, and the groups of those that agree in all of them.

    Args:
        runs: at least one

    Returns:
        the keys, sorted; the groups, in the runs' order
    """
    settings = [run.compared for run in runs]
    varying = varying_keys(settings)
    found: dict[str, list[Run]] = {}
    for run, each in zip(runs, settings, strict=True):
        chosen = [number(each.get(key)) for key in varying]
        found.setdefault(json.dumps(chosen), []).append(run)
    members = list(found.values())
    return varying, [
        Group(text, {key: alike[0].compared.get(key) for key in varying}, alike)
        for alike, text in zip(members, labels(members, varying), strict=True)
    ]


def number(value: Any) -> Any:  # noqa: ANN401 - plain values
    """The value, with whole floats as integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def mean_std(values: Sequence[float], digits: int = 4) -> str:
    """For example "0.9733 ± 0.0042": mean and standard deviation (n - 1) over seeds.

    Args:
        values: one a seed; of one there is no deviation, of none a dash
        digits: significant ones of the mean
    """
    if not values:
        return "-"
    mean = statistics.fmean(values)
    size = int(np.floor(np.log10(abs(mean)))) if mean and np.isfinite(mean) else 0
    places = min(max(0, digits - 1 - size), 8)
    if len(values) == 1:
        return f"{mean:.{places}f}"
    return f"{mean:.{places}f} ± {deviation(values):.{places}f}"


def deviation(values: Sequence[float]) -> float:
    """The standard deviation (n - 1) of two or more values, NaN if one is of a diverged run."""
    return statistics.stdev(values) if np.isfinite(values).all() else math.nan


def band(group: Group, metric: str, axis: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of a metric over a group's runs, along an axis.

    Where runs have values at other points, they are interpolated; nothing is added at their ends.

    Args:
        group: of at least one run
        metric: log key
        axis: step, epoch or samples

    Returns:
        points, means and deviations, (n,) each, n <= 200; empty if no run has the metric
    """
    found = [run.curves[metric] for run in group.runs if metric in run.curves]
    lines = [line for line in (points(curve, axis) for curve in found) if len(line[0])]
    if not lines:
        empty = np.empty(0)
        return empty, empty, empty
    x = max((line[0] for line in lines), key=len)
    x = x[np.unique(np.linspace(0, len(x) - 1, min(POINTS, len(x))).round().astype(int))]
    values = np.stack([np.interp(x, *line, left=np.nan, right=np.nan) for line in lines])
    known = np.isfinite(values).sum(0)
    mean = np.nansum(values, 0) / np.maximum(known, 1)
    spread = np.nansum((values - mean) ** 2, 0) / np.maximum(known - 1, 1)
    has = known > 0
    return x[has], mean[has], np.sqrt(spread[has])


def points(curve: Curve, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """A curve's points that are known, the last of those at one place: x and y, (n,) each."""
    x, y = curve.axes[axis], curve.value
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    last = np.append(np.diff(x) != 0, True) if len(x) else np.empty(0, dtype=bool)
    return x[last], y[last]
