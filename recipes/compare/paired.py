"""Differences of settings to one of them, run by run: by pairs of the same seeds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from recipes.compare.groups import Group
from recipes.compare.runs import Run

RESAMPLES = 10_000


@dataclass(frozen=True)
class Difference:
    """How much more of a metric a group's runs have than the baseline's of the same seeds.

    Attributes:
        values: a difference each pair; of no pair the others are None
        mean: of the values
        low: lower end of the 95 % bootstrap interval of the mean; None of a single pair
        high: upper end
        is_baseline: whether it is the baseline's own
    """

    values: tuple[float, ...]
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    is_baseline: bool = False

    @classmethod
    def of(cls, values: Sequence[float]) -> "Difference":
        """The mean and its interval."""
        if not values:
            return cls(())
        ends = bootstrap(values) if len(values) > 1 else (None, None)
        return cls(tuple(values), float(np.mean(values)), *ends)

    @property
    def pairs(self) -> str:
        """How many pairs there are, nothing of the baseline itself."""
        return "" if self.is_baseline else str(len(self.values))

    def __str__(self) -> str:
        """For example "+0.0123 (0.0051 to 0.0195)"."""
        if self.is_baseline:
            return "baseline"
        if self.mean is None:
            return "-"
        interval = "" if self.low is None else f" ({self.low:.3g} to {self.high:.3g})"
        return f"{self.mean:+.3g}{interval}"


def bootstrap(values: Sequence[float], share: float = 0.95) -> tuple[float, float]:
    """The percentile interval of a mean: Efron & Tibshirani 1993, section 13.3.

    Of fewer than ten values it is too narrow. The same values give the same interval.

    Args:
        values: (n,), n > 1
        share: of such intervals that hold the true mean, for many values
    """
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    means = np.asarray(values)[drawn].mean(1)
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def find_baseline(groups: Sequence[Group], name: str) -> Group:
    """The group of this label, or with a run of this name.

    Raises:
        ValueError: if there is none, or several have such runs
    """
    found = [g for g in groups if name == g.label or any(run.name == name for run in g.runs)]
    if len(found) == 1:
        return found[0]
    labels = [group.label for group in groups]
    if found:
        raise ValueError(f"--baseline={name}: several settings have such runs; one of {labels}")
    close = get_close_matches(name, labels, n=1)
    is_it = f" is it {close[0]!r}?" if close else ""
    raise ValueError(f"--baseline={name}:{is_it} give a run's name, or a label: {labels}")


def differences(groups: Sequence[Group], baseline: Group, metric: str) -> list[Difference]:
    """The difference of each group to the baseline, over the last values of runs that count.

    Args:
        groups: each is compared; the baseline itself may be one
        baseline: to which
        metric: log key
    """
    runs = [run for group in [baseline, *groups] for run in group.counted]
    own = by_seeds(baseline, runs)
    found = []
    for group in groups:
        if group is baseline:
            found.append(Difference((), is_baseline=True))
            continue
        pairs = [(run, own[seeds]) for seeds, run in by_seeds(group, runs).items() if seeds in own]
        values = [(run.last(metric), other.last(metric)) for run, other in pairs]
        found.append(Difference.of([a - b for a, b in values if None not in (a, b)]))
    return found


def by_seeds(group: Group, runs: Sequence[Run]) -> dict[str, Run]:
    """A group's runs that count by their seeds, of which those that no run varies say nothing.

    Args:
        group: whose runs
        runs: all that are compared
    """
    keys = sorted({key for run in runs for key in run.seeds})
    varying = [k for k in keys if any(r.seeds.get(k) != runs[0].seeds.get(k) for r in runs)]
    return {
        json.dumps([run.seeds.get(key) for key in varying], default=str): run
        for run in group.counted
    }
