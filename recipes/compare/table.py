"""The comparison as a table."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from recipes.compare.groups import Group, deviation, grouped, mean_std
from recipes.compare.labels import short_names, shown
from recipes.compare.paired import Difference
from recipes.compare.runs import Run
from recipes.parts.keys import more_is_better
from recipes.running.printable import printable

DIFFERENCE = "to the baseline (95 %)"
COLUMNS = 4  # of keys that vary, beyond which a group has its label alone


def ranked(runs: Sequence[Run], metric: str) -> tuple[list[str], list[Group]]:
    """The keys that vary, and the groups, the best first, and last what has not finished."""
    varying, groups = grouped(runs)
    sign = -1 if more_is_better(metric) else 1

    def place(group: Group) -> tuple[bool, bool, float]:
        values = group.values(lambda run: run.last(metric))
        mean = sum(values) / len(values)
        return not group.is_finished, mean != mean, sign * mean  # NaN behind numbers

    return varying, sorted(groups, key=place)


def table(
    varying: Sequence[str],
    groups: Sequence[Group],
    metric: str,
    beside: Sequence[Difference] | None = None,
) -> str:
    """The groups in Markdown: settings, last and best value, n, seconds, samples a second, runs.

    What was also tested has a column of its own: test/accuracy beside val/accuracy.

    Args:
        varying: keys of the settings that vary
        groups: the best first
        metric: log key
        beside: the difference of each group to the baseline, if there is one
    """
    columns = varying if 0 < len(varying) <= COLUMNS and "recipe" not in varying else []
    names, numbers = short_names(columns), measures(groups, metric)
    result = Table(box=box.MARKDOWN)
    for key in columns or ["setting"]:
        result.add_column(printable(names.get(key, key)))
    for name in numbers:
        result.add_column(printable(name), justify="right")
    for name in (DIFFERENCE, "pairs") if beside else ():
        result.add_column(name, justify="right")
    result.add_column("runs")
    for number, group in enumerate(groups):
        cells = [shown(key, group.settings.get(key)) for key in columns] or [group.label]
        cells += [measure(group) for measure in numbers.values()]
        cells += [str(beside[number]), beside[number].pairs] if beside else []
        cells.append(named(group.runs))
        result.add_row(*(printable(cell).replace("|", "\\|") for cell in cells))
    console = Console(width=1000, color_system=None, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(result)
    return "\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip())


def speed(run: Run) -> float | None:
    """Samples a second over the whole of training, with its validation."""
    seconds, samples = run.facts.get("seconds"), run.facts.get("samples")
    return samples / seconds if seconds and samples else None


def full_rows(
    varying: Sequence[str],
    groups: Sequence[Group],
    metric: str,
    beside: Sequence[Difference] | None = None,
) -> list[dict[str, Any]]:
    """The table with all digits, for a CSV file; arguments as in `table`."""
    rows = []
    for number, group in enumerate(groups):
        row = {"setting": group.label, **{key: group.settings.get(key) for key in varying}}
        for name, value in values_of(groups, metric).items():
            found = group.values(value)
            row[name] = statistics.fmean(found) if found else None
            row[f"{name} std"] = deviation(found) if len(found) > 1 else None
        row |= {"n": len(group.counted), "runs": " ".join(run.name for run in group.runs)}
        if beside:
            found = beside[number]
            row |= {"difference": found.mean, "low": found.low, "high": found.high}
            row["pairs"] = found.pairs
        rows.append(row)
    return rows


def values_of(groups: Sequence[Group], metric: str) -> dict[str, Callable[[Run], float | None]]:
    """The columns of numbers, and what each is of a run."""
    tested = f"test/{metric.removeprefix('val/')}"
    found: dict[str, Callable[[Run], float | None]] = {
        metric: lambda run: run.last(metric),
        "best": lambda run: run.best(metric),
    }
    if any(run.last(tested) is not None for group in groups for run in group.runs):
        found[tested] = lambda run: run.last(tested)
    return found | {"seconds": lambda run: run.facts.get("seconds"), "samples/s": speed}


def measures(groups: Sequence[Group], metric: str) -> dict[str, Callable[[Group], str]]:
    """The columns of numbers, and how each is told of a group."""
    found = {}
    for name, value in values_of(groups, metric).items():
        digits = 3 if name in ("seconds", "samples/s") else 4
        if name == "seconds":
            found["n"] = lambda group: group.count
        found[name] = lambda group, v=value, d=digits: mean_std(group.values(v), d)
    return found


def named(runs: Sequence[Run]) -> str:
    """The runs' names, of many the first and the last."""
    names = [run.name for run in runs]
    return ", ".join(names) if len(names) <= 2 else f"{names[0]} ... {names[-1]}"
