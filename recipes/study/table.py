"""The tables that a study prints: of its fit, and of a test."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from recipes.study.record import Record
from recipes.study.selection import Choice, Key, by_optimizer

Row = dict[str, Any]
TESTED = ("rmse", "mae", "nll")


def mean_std(values: Sequence[float], digits: int = 4) -> str:
    """For example "3.055 ± 0.24": mean and standard deviation (n - 1), as significant digits."""
    values = [value for value in values if not math.isnan(value)]
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.{digits}g}"
    equal = len(values) < 2 or statistics.stdev(values) < 1e-9 * abs(statistics.fmean(values))
    return mean if equal else f"{mean} ± {statistics.stdev(values):.2g}"


def spread(values: Sequence[float | None]) -> str:
    """For example "0.01", or "0.001 to 0.1, median 0.01" where splits have chosen differently."""
    numbers = sorted(value for value in values if value is not None)
    if not numbers:
        return ""
    low, high = f"{numbers[0]:.3g}", f"{numbers[-1]:.3g}"
    middle = f"{statistics.median(numbers):.3g}"
    return low if low == high else f"{low} to {high}, median {middle}"


def markdown(rows: Sequence[Row]) -> str:
    """A table of rows that have the same keys; a column without any value is left out."""
    keys = [key for key in rows[0] if any(row[key] != "" for row in rows)]
    lines = [keys, ["---"] * len(keys), *([str(row[key]) for key in keys] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def fit_table(
    records: Sequence[Record],
    choices: Sequence[Choice],
    train: Mapping[Key, Mapping[str, float]],
    metric: str,
    target: float | None,
) -> list[Row]:
    """A row for each optimizer: its choice, its metrics, what it cost, how often it diverged.

    Args:
        records: all rounds
        choices: the best trials
        train: metrics of the chosen members on their training rows; lost ones have none
        metric: that trials are compared by
        target: value of the metric that members are to reach, or None
    """
    rows, scored, lost = [], records[-1].decides(metric), diverged(records)
    for optimizer, chosen in by_optimizer(choices).items():
        row: Row = {
            "optimizer": optimizer,
            "network": ", ".join(dict.fromkeys(c.trial.network for c in chosen)),
            "schedule": ", ".join(dict.fromkeys(c.trial.schedule for c in chosen)),
            "learning rate": spread([c.trial.learning_rate for c in chosen]),
            "weight decay": spread([c.trial.weight_decay for c in chosen]),
            f"train {metric}": mean_std(
                [train[key][metric] for c in chosen for key in c.keys if key in train]
            ),
            scored.replace("/", " "): mean_std(last(records, chosen, scored)),
            "evaluations": mean_std(last(records, chosen, "evaluations"), 6),
            "seconds": mean_std(last(records, chosen, "seconds"), 3),
        }
        for name in ("epochs", "evaluations", "seconds") if target is not None else ():
            row[f"{name} to {target:g}"] = until(records, chosen, name, metric, target)
        row["diverged"] = f"{sum(lost[optimizer])} of {len(lost[optimizer])}"
        rows.append(row)
    return rows


def last(records: Sequence[Record], choices: Sequence[Choice], name: str) -> list[float]:
    """A series' latest values of the chosen members."""
    return [records[c.record].latest(name, i) for c in choices for i in c.ids]


def until(
    records: Sequence[Record], choices: Sequence[Choice], name: str, metric: str, target: float
) -> str:
    """What it took the chosen members to reach the target: mean ± std, and how many did not.

    Args:
        records: all rounds
        choices: of one optimizer
        name: of what it took: epochs, evaluations or seconds
        metric: that the target is a value of
        target: to be reached
    """
    found, members = [], 0
    for choice in choices:
        record = records[choice.record]
        reached = record.reached(metric, target)[list(choice.ids)].tolist()
        members += len(reached)
        for i, row in zip(choice.ids, reached, strict=True):
            if row >= 0:
                series = record.epochs if name == "epochs" else record.series[name]
                found.append(float(series[row] if name == "epochs" else series[row][i]))
    missed = members - len(found)
    return (mean_std(found, 3) + (f" ({missed} of {members} never)" if missed else "")).strip()


def diverged(records: Sequence[Record]) -> dict[str, list[bool]]:
    """Whether each member diverged, in all rounds, by optimizer."""
    found: dict[str, list[bool]] = {}
    for record in records:
        for member, lost in zip(record.members, record.diverged.tolist(), strict=True):
            found.setdefault(member.trial.optimizer, []).append(lost)
    return found


def at_the_edge(records: Sequence[Record], choices: Sequence[Choice]) -> list[str]:
    """The optimizers whose chosen rate is the lowest or the highest of three or more tried."""
    tried: dict[str, set[float]] = {}
    for record in records:
        for member in record.members:
            tried.setdefault(member.trial.optimizer, set()).add(member.trial.learning_rate)
    found = [
        c.trial.optimizer
        for c in choices
        if len(rates := tried[c.trial.optimizer]) > 2
        and c.trial.learning_rate in (min(rates), max(rates))
    ]
    return list(dict.fromkeys(found))


def tested(rows: Sequence[Row]) -> dict[str, dict[str, list[float]]]:
    """The values of each metric by optimizer: of members `rmse`, of ensembles `ensemble_rmse`.

    Args:
        rows: metrics of each chosen member, and of each ensemble, of one optimizer and split
    """
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        values = found.setdefault(row["optimizer"], {})
        kind = "ensemble_" if row["seed"] == "ensemble" else ""
        for name in TESTED:
            if name in row:
                values.setdefault(kind + name, []).append(row[name])
    return found


def test_table(rows: Sequence[Row]) -> list[Row]:
    """A row for each optimizer: mean ± std over splits and seeds; rows as in `tested`."""
    lines = []
    for optimizer, values in tested(rows).items():
        line: Row = {"optimizer": optimizer}
        for name in TESTED:
            line[f"test {name}"] = mean_std(values.get(name, []))
            line[f"test {name} ensemble"] = mean_std(values.get(f"ensemble_{name}", []))
        lines.append(line)
    return lines


def test_means(rows: Sequence[Row]) -> dict[str, float]:
    """The means over splits and seeds, by log key; rows as in `tested`."""
    return {
        f"test/{kind}{name}/{optimizer}": statistics.fmean(values[kind + name])
        for optimizer, values in tested(rows).items()
        for name in TESTED
        for kind in ("", "ensemble_")
        if kind + name in values
    }
