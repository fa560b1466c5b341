"""Search spaces: which learning rates and weight decays a study tries for each optimizer."""

import csv
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jsonargparse.typing import NonNegativeInt, PositiveFloat, PositiveInt

from datamodules.loading.loader import keyed_generator
from recipes.study.members import Trial
from recipes.study.record import Record

Rates = list[PositiveFloat] | dict[str, list[PositiveFloat]]


class Kind(NamedTuple):
    """What members have in common that a search does not vary: labels."""

    network: str
    optimizer: str
    schedule: str


class Setting(NamedTuple):
    """What a search proposes for members of a kind; a split if it is for that one alone."""

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
            kind: of the members
            number: of the round, from 0
            tried: settings of earlier rounds, and the validation metric that each came to, the
                lower the better, infinite if it diverged
        """


def of_optimizer(values: Rates, optimizer: str) -> list[float]:
    """The values for one optimizer, of a list for all or a list for each.

    Raises:
        ValueError: if there is a list for each but this one
    """
    if isinstance(values, dict):
        if optimizer not in values:
            raise ValueError(f"--model.search: no learning_rate for {optimizer}")
        values = values[optimizer]
    return [float(value) for value in values]


class Grid(Search):
    """Every learning rate with every weight decay.

    Args:
        learning_rate: values for all optimizers, or a list for each, by its label
        weight_decay: values; by default the optimizer's own alone
    """

    def __init__(
        self,
        learning_rate: Rates = [1e-4, 1e-3, 1e-2, 1e-1, 1.0],  # noqa: B006 - only read
        weight_decay: list[float] | None = None,
    ) -> None:
        self.learning_rate, self.weight_decay = learning_rate, weight_decay

    def suggest(
        self, kind: Kind, number: int, tried: Sequence[tuple[Setting, float]]
    ) -> list[Setting]:
        rates = of_optimizer(self.learning_rate, kind.optimizer)
        return [Setting(*pair) for pair in itertools.product(rates, self.weight_decay or [None])]


def ends(name: str, values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest of some values.

    Raises:
        ValueError: if they are not two numbers above 0
    """
    low, high = (float(end(values, default=0.0)) for end in (min, max))
    if not 0 < low < high:
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
        weight_decay: list[PositiveFloat] | None = None,
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


class Bayes(Random):
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), a batch a round.

    The first round is random. Needs the extra `search`.

    Args:
        rounds: batches of settings, one after another; each has the same share of the epochs
        trials: settings for each optimizer and round
        learning_rate: a list from the lowest to the highest, for all optimizers or, by its
            label, for each
        weight_decay: lowest and highest; by default the optimizer's own
        seed: of the draws

    Raises:
        ModuleNotFoundError: without Optuna
    """

    def __init__(
        self,
        rounds: PositiveInt = 4,
        trials: PositiveInt = 8,
        learning_rate: Rates = [1e-4, 1.0],  # noqa: B006 - only read
        weight_decay: list[PositiveFloat] | None = None,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__(trials, learning_rate, weight_decay, seed)
        self.rounds = rounds
        try:
            import optuna
        except ModuleNotFoundError as error:
            raise ValueError(
                "--model.search=Bayes needs Optuna: pip install -e '.[search]'"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna = optuna

    def suggest(
        self, kind: Kind, number: int, tried: Sequence[tuple[Setting, float]]
    ) -> list[Setting]:
        if number == 0:
            return super().suggest(kind, number, tried)
        optuna = self.optuna
        space = {
            name: optuna.distributions.FloatDistribution(low, high, log=True)
            for name, (low, high) in self.ranges(kind.optimizer).items()
        }
        # Constant liar: the trials of a batch keep away from each other.
        sampler = optuna.samplers.TPESampler(
            seed=self.seed + number, n_startup_trials=0, constant_liar=True, multivariate=True
        )
        study = optuna.create_study(sampler=sampler)
        finite = [value for _, value in tried if math.isfinite(value)]
        for setting, value in tried:
            study.add_trial(
                optuna.trial.create_trial(
                    params={name: getattr(setting, name) for name in space},
                    distributions=space,
                    # What diverged is as bad as the worst; Optuna takes no infinite value.
                    value=value if math.isfinite(value) else max(finite, default=0.0),
                )
            )
        return [Setting(**study.ask(space).params) for _ in range(self.trials)]


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


def propose(
    search: Search, kinds: Iterable[Kind], records: Sequence[Record], metric: str
) -> list[Trial]:
    """The trials of the next round.

    Args:
        search: asked for each kind by itself
        kinds: all that there are
        records: of the rounds before
        metric: that the search minimises
    """
    trials = []
    for kind in kinds:
        tried = [
            (Setting(t.learning_rate, t.weight_decay, t.split), score)
            for record in records
            for (t, _), score in zip(record.trials(False), record.means(metric, False), strict=True)
            if Kind(t.network, t.optimizer, t.schedule) == kind
        ]
        trials += [
            Trial(
                optimizer=kind.optimizer,
                learning_rate=setting.learning_rate,
                weight_decay=setting.weight_decay,
                schedule=kind.schedule,
                network=kind.network,
                split=setting.split,
            )
            for setting in search.suggest(kind, len(records), tried)
        ]
    return trials
