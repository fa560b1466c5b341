"""The results that are kept in results/, and the tables that pages have of them."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from scipy import stats

from recipes.seeds.wanted import Wanted
from tables import mean_std

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
Rows = list[list[str]]  # of a table, its header first


@dataclass
class Entry:
    """A result, as results.yaml has it.

    Attributes:
        name: of its file, and of its runs
        of: what a table calls it
        recipe: the technique
        config: bare name of the shipped config
        seeds: how many, from 0
        show: for each column, a metric and its digits: .2f, or .2% for 100 times the metric; and
            `interval` for the 95 % confidence interval of its mean
        flags: of `fit`; {seed} in them is the run's
        test: whether there are data to test on
    """

    name: str
    of: str
    recipe: str
    config: str
    seeds: int
    show: dict[str, list[str]]
    flags: list[str] = field(default_factory=list)
    test: bool = True

    @property
    def path(self) -> Path:
        """Of its numbers."""
        return RESULTS / f"{self.name}.json"

    @property
    def runs(self) -> list[Wanted]:
        """One a seed."""
        same = (self.recipe, self.name, [self.config], self.flags)
        return [Wanted.of_seed(*same, seed) for seed in range(self.seeds)]

    def stored(self) -> dict[str, Any]:
        """Its numbers."""
        return json.loads(self.path.read_text())

    @property
    def seconds(self) -> str:
        """Of training with one seed, the median."""
        found = statistics.median(self.stored()["seconds"])
        return f"{found:.{int(found < 10)}f}"

    def cells(self) -> dict[str, str]:
        """What is shown, by column: mean ± std over seeds."""
        found, stored = {}, self.stored()
        for label, (metric, style, *more) in self.show.items():
            scale, digits = (100 if style.endswith("%") else 1), int(style[1:-1])
            values = [scale * value for value in stored[metric]]
            found[label] = mean_std(values, digits)
            if "interval" in more:
                low, high = interval(values)
                found[label] += f" ({low:.{digits}f} to {high:.{digits}f})"
        return found


def listed() -> dict[str, Entry]:
    """All results, by name."""
    entries = yaml.safe_load((RESULTS / "results.yaml").read_text())
    return {name: Entry(name, **entry) for name, entry in entries.items()}


def interval(values: list[float], share: float = 0.95) -> tuple[float, float]:
    """The confidence interval of a mean by Student's t; of paired differences a paired one.

    Args:
        values: independent ones, such as one a seed; two or more
        share: of such intervals that hold the true mean
    """
    error = statistics.stdev(values) / len(values) ** 0.5
    reach = stats.t.ppf((1 + share) / 2, len(values) - 1) * error
    return statistics.fmean(values) - reach, statistics.fmean(values) + reach


def by_metric(entries: list[Entry]) -> Rows:
    """Rows of a table with a column for each metric, and seeds and seconds; its header first."""
    labels = list(dict.fromkeys(label for entry in entries for label in entry.show))
    rows = []
    for entry in entries:
        cells = (entry.cells().get(label, "") for label in labels)
        rows.append([entry.of, *cells, str(entry.seeds), entry.seconds])
    return [["", *labels, "seeds", "seconds"], *rows]


def by_result(entries: list[Entry]) -> Rows:
    """Rows of a table with columns for recipe, seeds and seconds, its header first.

    Raises:
        ValueError: of a result that was not tested
    """
    if untested := [entry.name for entry in entries if not entry.test]:
        raise ValueError(f"{', '.join(untested)}: not of test data; give `results by metric`")
    rows = [["recipe", "config", "on test data, mean ± std over seeds", "seeds", "seconds"]]
    for entry in entries:
        said = ", ".join(f"{label} {value}" for label, value in entry.cells().items())
        rows.append(
            [
                f"`{entry.recipe}`",
                f"`{entry.config}`",
                f"{entry.of}: {said}",
                str(entry.seeds),
                entry.seconds,
            ]
        )
    return rows
