"""Runs that differ by their seeds alone, as one group: its label and its numbers."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import numpy as np

from recipes.compare.runs import Curve, Run
from recipes.running.printable import printable

POINTS = 200  # of a curve that is drawn; a screen shows no more
LABEL = 70  # characters of a label


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


def same(one: Any, other: Any) -> bool:  # noqa: ANN401 - plain values
    """Whether two settings are equal: 4 and 4.0, which W&B does not tell apart, True and 1 not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def number(value: Any) -> Any:  # noqa: ANN401 - plain values
    """The value, with whole floats as integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def labels(groups: list[list[Run]], varying: list[str]) -> list[str]:
    """What to call each group: its values of the keys that vary, or its runs' name.

    Where a class varies, so do its arguments: the label has the class and what others have too.
    If that is too long, it has the keys alone that tell the groups apart.
    """
    if not varying:
        return [groups[0][0].facts.get("config") or groups[0][0].name]
    if "recipe" in varying:
        return of_recipes(groups)
    settings = [runs[0].compared for runs in groups]
    keys = [key for key in varying if all(key in each for each in settings)] or varying
    found = [label(each, keys) for each in settings]
    if max(map(len, found)) > LABEL:
        found = [label(each, telling(settings, keys)) for each in settings]
    found = [shorten(text, LABEL, placeholder=" ...") for text in found]
    # Told apart by their first run, where what differs is not in all of them or too long.
    return [
        text if text and found.count(text) == 1 else f"{text} ({runs[0].name})".strip()
        for text, runs in zip(found, groups, strict=True)
    ]


def of_recipes(groups: list[list[Run]]) -> list[str]:
    """The recipe of each group, and what tells it from the others of that recipe."""
    recipes = [runs[0].compared["recipe"] for runs in groups]
    found = {}
    for recipe in dict.fromkeys(recipes):
        own = [runs for runs in groups if runs[0].compared["recipe"] == recipe]
        varying = varying_keys([runs[0].compared for runs in own])
        for runs, text in zip(own, labels(own, varying), strict=True):
            found[id(runs)] = f"{recipe}: {text}"
    return [found[id(runs)] for runs in groups]


def varying_keys(settings: Sequence[dict[str, Any]]) -> list[str]:
    """The keys in which settings differ, sorted; one that is absent is null."""
    keys = sorted({key for each in settings for key in each})
    return [k for k in keys if not all(same(s.get(k), settings[0].get(k)) for s in settings)]


def label(settings: dict[str, Any], keys: Sequence[str]) -> str:
    """A setting's values of some keys, of which those that are null say nothing."""
    names = short_names(keys)
    known = [key for key in keys if settings.get(key) is not None]
    return printable(", ".join(f"{names[key]}={shown(key, settings[key])}" for key in known))


def telling(settings: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[str]:
    """As few of the keys as tell the settings apart, found one by one."""

    def told_apart(chosen: Sequence[str]) -> int:
        return len({label(each, chosen) for each in settings})

    chosen: list[str] = []
    while told_apart(chosen) < told_apart(keys):
        chosen.append(max(keys, key=lambda key: told_apart([*chosen, key])))
    return [key for key in keys if key in chosen]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The shortest end of each key that no other has: `lr` for model.optimizer.lr."""
    words = {key: key.removesuffix(".class_path").split(".") for key in keys}
    names = {}
    for key in keys:
        for length in range(1, len(words[key]) + 1):
            name = ".".join(words[key][-length:])
            others = (words[other] for other in keys if other != key)
            if not any(".".join(other[-length:]) == name for other in others):
                break
        names[key] = name
    return names


def shown(key: str, value: Any) -> str:  # noqa: ANN401 - plain values
    """A setting as text: a class by its name, a number in short, none as a dash."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value.rpartition(".")[2] if key.endswith(".class_path") else value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


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
    # Of a run that has diverged, statistics.stdev is an error.
    deviation = statistics.stdev(values) if np.isfinite(values).all() else np.nan
    return f"{mean:.{places}f} ± {deviation:.{places}f}"


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
