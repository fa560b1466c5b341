"""The comparison as a table."""

from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from recipes.compare.groups import Group, grouped, mean_std, short_names, shown
from recipes.compare.runs import Run
from recipes.parts.keys import more_is_better
from recipes.running.printable import printable

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


def table(varying: Sequence[str], groups: Sequence[Group], metric: str) -> str:
    """The groups in Markdown: settings, last and best value, n, seconds, samples a second, runs.

    What was also tested has a column of its own: test/accuracy beside val/accuracy.
    """
    columns = varying if 0 < len(varying) <= COLUMNS and "recipe" not in varying else []
    names, numbers = short_names(columns), measures(groups, metric)
    result = Table(box=box.MARKDOWN)
    for key in columns or ["setting"]:
        result.add_column(printable(names.get(key, key)))
    for name in numbers:
        result.add_column(printable(name), justify="right")
    result.add_column("runs")
    for group in groups:
        cells = [shown(key, group.settings.get(key)) for key in columns] or [group.label]
        cells += [measure(group) for measure in numbers.values()]
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


def measures(groups: Sequence[Group], metric: str) -> dict[str, Callable[[Group], str]]:
    """The columns of numbers, and how each is told of a group."""

    def over_seeds(value: Callable[[Run], float | None], digits: int = 4) -> Callable[[Group], str]:
        return lambda group: mean_std(group.values(value), digits)

    tested = f"test/{metric.removeprefix('val/')}"
    found = {metric: over_seeds(lambda run: run.last(metric))}
    found["best"] = over_seeds(lambda run: run.best(metric))
    if any(run.last(tested) is not None for group in groups for run in group.runs):
        found[tested] = over_seeds(lambda run: run.last(tested))
    found["n"] = lambda group: group.count
    found["seconds"] = over_seeds(lambda run: run.facts.get("seconds"), 3)
    found["samples/s"] = over_seeds(speed, 3)
    return found


def named(runs: Sequence[Run]) -> str:
    """The runs' names, of many the first and the last."""
    names = [run.name for run in runs]
    return ", ".join(names) if len(names) <= 2 else f"{names[0]} ... {names[-1]}"
