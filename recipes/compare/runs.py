"""Runs as they are compared, and how they are read from their folders."""

import json
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from recipes.compare.media import read_picture, readable
from recipes.parts.files import is_alive
from recipes.parts.keys import compared, dotted, is_seed, more_is_better

# What a run draws that is worth seeing beside another's.
PICTURES = ("samples.png", "study.png")
QUIET = 600  # seconds without a row after which a run on another machine counts as stopped
AXES = ("step", "epoch", "samples")


class UnreadableRun(ValueError):
    """A run whose files are damaged: its message names the file."""


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
        UnreadableRun: if a file in it is damaged
    """
    facts = read_json(folder / "run.json")
    settings = facts.pop("settings", None)
    if settings is None:  # an older run's
        settings = dotted(read_yaml(folder / "config.yaml"))
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


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file.

    Raises:
        UnreadableRun: if it is damaged
    """
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise UnreadableRun(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableRun(f"{path}: no mapping")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """The content of a run's config, or nothing where it has not been written yet."""
    if not path.exists():
        return {}
    try:
        return yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise UnreadableRun(f"{path}: {' '.join(str(error).split())}") from error


def read_rows(path: Path, is_live: bool) -> list[dict[str, Any]]:
    """The rows of a metrics file, none where there is no file.

    Args:
        path: of JSON lines
        is_live: whether the last line may be cut off, as the run writes it or was killed

    Raises:
        UnreadableRun: if another line is damaged
    """
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()
    with suppress(ValueError):
        rows = json.loads(b"[" + b",".join(lines) + b"]")  # much faster than line by line
        if all(isinstance(row, dict) for row in rows):
            return rows
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            if not is_live or number < len(lines):
                raise UnreadableRun(f"{path}, line {number} is damaged") from error
    return found


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
            # An unknown value is None; W&B has "NaN" and "Infinity" as text.
            with suppress(TypeError, ValueError):
                parts.setdefault(key, []).append((indices, np.array(column, dtype=float)))
    axes = {axis: np.full(len(rows), np.nan) for axis in AXES}
    for axis, values in axes.items():
        for indices, numbers in parts.pop(axis, ()):
            values[indices] = numbers
    return {key: _curve(found, axes) for key, found in parts.items() if found}


def _curve(parts: list[tuple[list[int], np.ndarray]], axes: dict[str, np.ndarray]) -> Curve:
    indices = np.concatenate([indices for indices, _ in parts])
    order = np.argsort(indices)
    value = np.concatenate([numbers for _, numbers in parts])[order]
    return Curve(value, {axis: values[indices[order]] for axis, values in axes.items()})


def run_folders(source: Path) -> Iterator[Path]:
    """The folders of runs in and below a folder, or of the run that a file belongs to."""
    folder = source if source.is_dir() else source.parent
    if (folder / "run.json").exists():
        yield folder
        return
    for file in sorted(source.rglob("run.json")):
        yield file.parent
