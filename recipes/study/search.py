"""Search spaces: which learning rates and weight decays a study tries for each optimizer."""

import csv
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt

from datamodules.loading.loader import keyed_generator
from recipes.parts.distinct import check_distinct
from recipes.parts.numbers import NonNegativeFinite, PositiveFinite

Rates = list[PositiveFinite] | dict[str, list[PositiveFinite]]


class Kind(NamedTuple):
    """A combination of labels, for which a search proposes settings."""

    network: str
    optimizer: str
    schedule: str


class Setting(NamedTuple):
    """What a search proposes for a kind.

    Attributes:
        learning_rate: peak rate
        weight_decay: None leaves the optimizer's own
        split: of the data that it is for; None: it is for all of the study's
    """

    learning_rate: float
    weight_decay: float | None = None
    split: int | None = None


class Search(ABC):
    """Proposes settings, in one round or in several that learn from those before.

    Attributes:
        rounds: how many; each takes its share of the run's epochs
    """

    rounds: int = 1

    @abstractmethod
    def suggest(
        self, kind: Kind, number: int, tried: Sequence[tuple[Setting, float]]
    ) -> list[Setting]:
        """The settings of one round, a pure function of its arguments.

        Args:
            kind: that the settings are for
            number: of the round, from 0
            tried: the kind's settings of earlier rounds, each with the metric that it ended at:
                the lower the better, infinite if it diverged
        """


def of_optimizer(values: Rates, optimizer: str) -> list[float]:
    """The values for one optimizer.

    Args:
        values: a list for all optimizers, or a list for each, by its label
        optimizer: its label

    Raises:
        ValueError: if each has a list but this one
    """
    if isinstance(values, dict):
        if optimizer not in values:
            raise ValueError(f"--model.search: no learning_rate for {optimizer}")
        values = values[optimizer]
    return [float(value) for value in values]


def check_values(option: str, values: Sequence[float]) -> None:
    """Raises ValueError if a grid has no values along one of its axes, or one of them twice."""
    if not values:
        raise ValueError(f"{option}=[]: give at least one value")
    check_distinct(option, map(float, values))


class Grid(Search):
    """Every learning rate with every weight decay.

    Args:
        learning_rate: values for all optimizers, or a list for each, by its label
        weight_decay: values; by default the optimizer's own alone

    Raises:
        ValueError: if a list is empty, or has a value twice
    """

    def __init__(
        self,
        learning_rate: Rates = [1e-4, 1e-3, 1e-2, 1e-1, 1.0],  # noqa: B006 - only read
        weight_decay: list[NonNegativeFinite] | None = None,
    ) -> None:
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        by_label = learning_rate if isinstance(learning_rate, dict) else {"": learning_rate}
        for label, rates in by_label.items():
            check_values(f"--model.search.learning_rate{label and f'.{label}'}", rates)
        if weight_decay is not None:
            check_values("--model.search.weight_decay", weight_decay)

    def suggest(
        self, kind: Kind, number: int, tried: Sequence[tuple[Setting, float]]
    ) -> list[Setting]:
        rates = of_optimizer(self.learning_rate, kind.optimizer)
        return [Setting(*pair) for pair in itertools.product(rates, self.weight_decay or [None])]


def ends(name: str, values: Sequence[float]) -> tuple[float, float]:
    """The lower and the higher of two values.

    Raises:
        ValueError: if they are not two different numbers above 0
    """
    low, high = (float(end(values, default=0.0)) for end in (min, max))
    if len(values) != 2 or not 0 < low < high:
        raise ValueError(f"--model.search.{name}={list(values)}: give [lowest, highest] above 0")
    return low, high


class Random(Search):
    """Log-uniform draws: Bergstra & Bengio 2012. All optimizers with one range get the same.

    Args:
        trials: settings for each optimizer
        learning_rate: a list from the lowest to the highest, for all optimizers or, by its
            label, for each
        weight_decay: lowest and highest; by default the optimizer's own
        seed: of the draws
    """

    def __init__(
        self,
        trials: PositiveInt = 20,
        learning_rate: Rates = [1e-4, 1.0],  # noqa: B006 - only read
        weight_decay: list[PositiveFinite] | None = None,
        seed: NonNegativeInt = 0,
    ) -> None:
        self.trials, self.seed = trials, seed
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        for optimizer in learning_rate if isinstance(learning_rate, dict) else [""]:
            self.ranges(optimizer)

    def ranges(self, optimizer: str) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each setting that is searched."""
        rates = of_optimizer(self.learning_rate, optimizer)
        ranges = {"learning_rate": ends("learning_rate", rates)}
        if self.weight_decay is not None:
            ranges["weight_decay"] = ends("weight_decay", self.weight_decay)
        return ranges

    def suggest(
        self, kind: Kind, number: int, tried: Sequence[tuple[Setting, float]]
    ) -> list[Setting]:
        ranges = self.ranges(kind.optimizer)
        generator = keyed_generator(self.seed, number)
        drawn = torch.rand(self.trials, len(ranges), generator=generator, dtype=torch.float64)
        return [
            Setting(
                *(
                    math.exp(math.log(low) + share * math.log(high / low))
                    for share, (low, high) in zip(row, ranges.values(), strict=True)
                )
            )
            for row in drawn.tolist()
        ]


class Chosen(Search):
    """What an earlier study chose, to be trained again: on all data, on other seeds.

    Args:
        study: folder of its run, which holds chosen.csv
    """

    def __init__(self, study: str = "") -> None:
        if not study:
            raise ValueError("--model.search.study: give the folder of an earlier study's run")
        path = Path(study).expanduser() / "chosen.csv"
        if not path.is_file():
            raise FileNotFoundError(f"--model.search.study={study}: there is no {path}")
        with path.open(newline="") as file:
            self.rows = list(csv.DictReader(file))

    def suggest(
        self, kind: Kind, number: int, tried: Sequence[tuple[Setting, float]]
    ) -> list[Setting]:
        if all(row["optimizer"] != kind.optimizer for row in self.rows):
            raise ValueError(f"--model.search.study: nothing was chosen there for {kind.optimizer}")
        rows = [row for row in self.rows if all(row[k] == v for k, v in kind._asdict().items())]
        return [
            Setting(
                float(row["learning_rate"]),
                float(row["weight_decay"]) if row["weight_decay"] else None,
                int(row["split"]) if row["split"] else None,
            )
            for row in rows
        ]
