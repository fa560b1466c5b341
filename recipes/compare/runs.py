"""Runs as they are compared, and how they are read from their folders."""

import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recipes.compare.media import read_picture, readable
from recipes.parts.configs import read_config
from recipes.parts.files import is_alive
from recipes.parts.keys import compared, dotted, is_seed, more_is_better
from recipes.running.folders import check_facts, read_facts, read_rows

# What a run draws that is worth seeing beside another's.
PICTURES = ("samples.png", "study.png")
QUIET = 600  # seconds without a row after which a run on another machine counts as stopped
DEPTH = 20  # of lists and mappings in settings
HUGE = 1e100  # larger numbers, whose squares overflow, count as infinite
# What reading a run's files comes to where they hold something else.
ODD = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
AXES = ("step", "epoch", "samples")


class UnreadableRun(ValueError):
    """A run whose files are damaged or odd: its message names the file, or the folder."""


@dataclass
class Curve:
    """A metric of a run over time.

    Attributes:
        value: (rows,)
        axes: `step`, `epoch` and `samples` of each row, (rows,) each; NaN where not known
    """

    value: np.ndarray
    axes: dict[str, np.ndarray]


@dataclass
class Run:
    """What is known of one run, wherever it was read.

    Attributes:
        name: of its folder
        state: finished, pruned (given up by a search), running or stopped
        facts: as in its run.json, flat: `seed`, `versions.torch`
        settings: the resolved config, `dotted`
        curves: log key to curve
        evaluated: log key to value, of its latest `test` and `validate`
        pictures: file name to PNG
    """

    name: str
    state: str
    facts: dict[str, Any]
    settings: dict[str, Any]
    curves: dict[str, Curve]
    evaluated: dict[str, float] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)

    @property
    def compared(self) -> dict[str, Any]:
        """The settings by which runs can differ: neither seeds nor places."""
        return {"recipe": self.facts.get("recipe")} | compared(self.settings)

    @property
    def seeds(self) -> dict[str, Any]:
        """The seeds among the settings."""
        return {key: value for key, value in self.settings.items() if is_seed(key)}

    def last(self, metric: str) -> float | None:
        """The metric's latest value, that of `test` for test/..."""
        if metric in self.curves:
            return float(self.curves[metric].value[-1])
        return self.evaluated.get(metric)

    def best(self, metric: str) -> float | None:
        """The metric's best value over time."""
        if metric not in self.curves:
            return self.evaluated.get(metric)
        best = np.fmax if more_is_better(metric) else np.fmin  # NaN only if all are
        return float(best.reduce(self.curves[metric].value))


def read_folder(folder: Path) -> Run:
    """A run from its folder, also while it is being written.

    Args:
        folder: with a run.json

    Raises:
        ValueError, OSError: if a file in it is damaged, or not there for this process
    """
    facts = read_facts(folder)
    settings = facts.pop("settings", None)
    if settings is None:  # an older run's
        settings = dotted(read_config(folder))
    metrics, flat = folder / "metrics.jsonl", dotted(facts)
    evaluated = {}
    for split in ("validate", "test"):
        for row in read_rows(folder / f"{split}.jsonl", is_live=True):
            row.pop("checkpoint", None)
            evaluated.update(row)
    return Run(
        name=folder.name,
        state=state(flat, metrics.stat().st_mtime if metrics.exists() else 0),
        facts=flat,
        settings=settings,
        curves=curves(read_rows(metrics, is_live="finished" not in facts)),
        evaluated=evaluated,
        pictures=readable(folder.name, [(n, partial(read_picture, folder, n)) for n in PICTURES]),
    )


def try_run(where: Path | str, read: Callable[[], Run]) -> Run | UnreadableRun:
    """A run that is fit to be compared, or why it is not.

    Args:
        where: it is read, for the message
        read: reads it
    """
    try:
        run = read()
        check_facts(run.facts)
        check_depth(run.settings)
        # What is no JSON, such as a date, is compared as text.
        run.settings = json.loads(json.dumps(run.settings, default=str))
    except ODD as error:
        told = " ".join(str(error).split()) or type(error).__name__
        return UnreadableRun(told if told.startswith(str(where)) else f"{where}: {told}")
    values = {key: number(value) for key, value in run.evaluated.items()}
    run.evaluated = {key: value for key, value in values.items() if value is not None}
    return run


def check_depth(value: Any, left: int = DEPTH) -> None:  # noqa: ANN401 - whatever settings hold
    """Refuses what is nested too deeply to be a setting.

    Raises:
        ValueError: if it is
    """
    if not left:
        raise ValueError("its settings are nested too deeply")
    items = value.values() if isinstance(value, dict) else value
    for item in items if isinstance(value, (dict, list)) else ():
        check_depth(item, left - 1)


def number(value: Any) -> float | None:  # noqa: ANN401 - whatever a row holds
    """A logged value as a number, if it is one; infinite if it is `HUGE`."""
    try:
        found = float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return None
    return found if abs(found) < HUGE or math.isnan(found) else math.copysign(math.inf, found)


def state(facts: dict[str, Any], last_write: float) -> str:
    """Whether a run has finished, was pruned, is running, or was stopped before its end.

    Args:
        facts: as in its run.json, flat
        last_write: of its metrics, seconds since 1970
    """
    if facts.get("finished"):
        return "pruned" if facts.get("pruned") else "finished"
    latest = dotted(facts["continued"][-1]) if facts.get("continued") else facts
    if latest.get("process.host") == platform.node():
        return "running" if is_alive(latest["process.id"]) else "stopped"
    return "running" if time.time() - last_write < QUIET else "stopped"


def curves(rows: Sequence[dict[str, Any]]) -> dict[str, Curve]:
    """A run's rows as one curve a metric; what is not a number is left out."""
    alike: dict[tuple[str, ...], list[int]] = {}  # rows of the same keys, read column by column
    for index, row in enumerate(rows):
        alike.setdefault(tuple(row), []).append(index)
    parts: dict[str, list[tuple[list[int], np.ndarray]]] = {}
    for keys, indices in alike.items():
        columns = zip(*(rows[index].values() for index in indices), strict=True)
        for key, column in zip(keys, columns, strict=True):
            if found := numbers(column):
                places, values = found
                parts.setdefault(key, []).append(([indices[place] for place in places], values))
    axes = {axis: np.full(len(rows), np.nan) for axis in AXES}
    for axis, values in axes.items():
        for indices, found in parts.pop(axis, ()):
            values[indices] = found
    return {key: _curve(found, axes) for key, found in parts.items() if found}


def numbers(column: Sequence[Any]) -> tuple[Sequence[int], np.ndarray] | None:
    """The places of the numbers in a column, and these, float64; None if there are none.

    An unknown value is None, and NaN here; W&B has "NaN" and "Infinity" as text.
    """
    with suppress(TypeError, ValueError, OverflowError):
        values = np.array(column, dtype=float)
        if values.ndim == 1:  # and no rows of lists
            is_huge = abs(values) >= HUGE
            values[is_huge] = np.copysign(np.inf, values[is_huge])
            return range(len(values)), values
    found = [math.nan if value is None else number(value) for value in column]
    places = [place for place, value in enumerate(found) if value is not None]
    return (places, np.array([found[place] for place in places])) if places else None


def _curve(parts: list[tuple[list[int], np.ndarray]], axes: dict[str, np.ndarray]) -> Curve:
    indices = np.concatenate([indices for indices, _ in parts])
    order = np.argsort(indices)
    value = np.concatenate([values for _, values in parts])[order]
    return Curve(value, {axis: values[indices[order]] for axis, values in axes.items()})


def run_folders(source: Path) -> Iterator[Path]:
    """The folders of runs in and below a folder, or of the run that a file belongs to."""
    folder = source if source.is_dir() else source.parent
    if (folder / "run.json").exists():
        yield folder
        return
    for file in sorted(source.rglob("run.json")):
        yield file.parent
