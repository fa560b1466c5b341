"""What a run has left, and what is other than in a run that nobody killed."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

TIMES = ("seconds",)  # in a checkpoint: how long training took


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - nested values
    """The values in nested containers, by their paths."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name not in TIMES:
                yield from flat(item, f"{key}/{name}")
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from flat(item, f"{key}/{number}")
    else:
        yield key, value


def same(one: Any, two: Any) -> bool:  # noqa: ANN401 - plain values and tensors
    """Whether two values are the same bit by bit; NaN is NaN."""
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        if one.dtype != two.dtype or one.shape != two.shape:
            return False
        return torch.equal(one, two) or torch.equal(one.nan_to_num(), two.nan_to_num())
    return type(one) is type(two) and (one == two or (one != one and two != two))


def checkpoints(folder: Path) -> list[Path]:
    """All that a run has saved, the newest last."""
    return sorted(folder.rglob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)


def load(path: Path) -> dict[str, Any]:
    """A checkpoint's content; those of stock Lightning hold objects of classes."""
    return torch.load(path, weights_only=False)


def saved(path: Path, folder: Path) -> dict[str, Any]:
    """The values of a checkpoint, without the place where it lies."""
    values = dict(flat(load(path)))
    place = str(folder.resolve())
    found = {key.replace(place, ""): value for key, value in values.items()}
    return {k: v.replace(place, "") if isinstance(v, str) else v for k, v in found.items()}


def is_readable(path: Path) -> bool:
    """Whether a checkpoint can be loaded."""
    try:
        load(path)
    except Exception:
        return False
    return True


def rows(folder: Path) -> list[Any]:
    """The rows of metrics of a run: of this project's file, or of those of Lightning's logger."""
    found = []
    for path in sorted(folder.rglob("metrics.jsonl")):
        found += [
            json.dumps(json.loads(line), sort_keys=True) for line in path.read_text().splitlines()
        ]
    for path in sorted(folder.rglob("metrics.csv")):
        with path.open() as file:
            found += [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]
    return found


def difference(cut: Path, whole: Path) -> str:
    """What is other in the folder of a run that was killed; empty if nothing is."""
    one, two = ({p.name: p for p in checkpoints(folder)} for folder in (cut, whole))
    if one.keys() != two.keys():
        return "other files"
    for name in sorted(one):
        found, expected = saved(one[name], cut), saved(two[name], whole)
        differ = [k for k in expected if k not in found or not same(found[k], expected[k])]
        differ += found.keys() - expected.keys()
        if any(key.startswith("/state_dict") for key in differ):
            return "other weights"
        if differ:
            return f"other state: {name}{min(differ)}"
    if rows(cut) != rows(whole):
        return "other metrics"
    left = [path.name for path in cut.rglob("*.partial")]
    return "files left" if left else ""
