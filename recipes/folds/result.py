"""What the folds have come to: a small file, a table, and the test against another one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from recipes.compare.groups import mean_std
from recipes.folds.rows import Fold
from recipes.folds.statistics import interval, resampled_t_test
from recipes.seeds.result import final

NAME = "folds.json"
LOSS = "test/loss"  # each run's own, so that two of them may be of different things
Result = dict[str, Any]  # `folds.json`


def result_of(folds: Sequence[Fold]) -> Result:
    """The numbers of some folds, in lists, one a run; and what tells which rows they are of."""
    metrics = [final(fold.run.folder) for fold in folds]
    shared = [key for key in metrics[0] if all(key in metric for metric in metrics)]
    return {
        "runs": [fold.run.name for fold in folds],
        "rows": [fold.digest for fold in folds],
        "ratio": sum(len(fold.tested) for fold in folds) / sum(fold.rest for fold in folds),
        **{key: [metric[key] for metric in metrics] for key in shared},
    }


def read(path: Path) -> Result:
    """The numbers of another cross-validation.

    Args:
        path: the folder that holds them, `<root>/<recipe>/<name>`, or the file

    Raises:
        ValueError: if there are none
    """
    file = path / NAME if path.is_dir() else path
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {key: found[key] for key in ("runs", "rows", "ratio")} | found
    except OSError as error:
        raise ValueError(f"--against={path}: no {NAME}, which recipes.folds writes") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"--against={path}: {file} is damaged") from error


def tested(result: Result) -> list[str]:
    """The metrics of the test rows."""
    return [key for key in result if key.startswith("test/")]


def summary(result: Result) -> str:
    """Mean ± std of each test metric over the runs, and the mean's corrected 95 % interval."""
    rows = []
    for key in tested(result):
        values = result[key]
        low, high = interval(values, result["ratio"])
        rows.append((key, mean_std(values), f"{low:.4g} to {high:.4g}", str(len(values))))
    return markdown(("metric", "mean ± std", "95 % interval of the mean", "n"), rows)


def comparison(result: Result, other: Result, against: Path) -> str:
    """The difference from another cross-validation, by the corrected resampled t-test.

    Args:
        result: of this one
        other: of that one
        against: where that one is from, for the message

    Raises:
        ValueError: if their folds are of other rows, or they share no metric
    """
    if result["rows"] != other["rows"]:
        raise ValueError(
            f"--against={against}: its folds are of other rows: give both the same data, --folds, "
            "--repeats and --data.split"
        )
    rows = []
    for key in tested(result):
        if key == LOSS or len(other.get(key) or ()) != len(result[key]):
            continue
        differences = [a - b for a, b in zip(result[key], other[key], strict=True)]
        t, p = resampled_t_test(differences, result["ratio"])
        rows.append((key, mean_std(differences), f"{t:.2f}", f"{p:.2g}"))
    if not rows:
        raise ValueError(f"--against={against}: no metric in common")
    return markdown(("metric", f"difference from {against}", "t", "p"), rows)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is to the left, the others to the right."""
    table = Table(box=box.MARKDOWN)
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console = Console(width=1000, color_system=None, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip())
