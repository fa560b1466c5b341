"""What Optuna draws by and gives up by, so that a search can be repeated."""

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from recipes.tune.space import Space


class Keyed(BaseSampler):
    """A sampler whose draws for a trial depend on seed, number and what has ended: nothing else.

    Each process has a sampler of its own. With one seed for all they would draw the same, and
    with none no search could be repeated, or go on as if nothing had been.

    Args:
        make: a sampler from a seed
        seed: of the search
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self.make, self.seed = make, seed
        self.inner = make(seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        key = np.random.SeedSequence((self.seed, trial.number)).generate_state(1)[0]
        self.inner = self.make(int(key))
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:  # noqa: ANN401 - as in Optuna
        return self.inner.sample_independent(study, trial, param_name, param_distribution)


def sampler(name: str, space: Space, seed: int) -> BaseSampler:
    """Optuna's sampler of a name.

    Args:
        name: grid, random, tpe or gp
        space: that it draws from
        seed: of the search
    """
    samplers = optuna.samplers
    makers: dict[str, Callable[[int], BaseSampler]] = {
        # One order for all processes: the trial's number is the point's place in it.
        "grid": lambda key: samplers.GridSampler(space.grid(), seed=seed),
        "random": lambda key: samplers.RandomSampler(seed=key),
        # Constant liar: trials that run at once keep away from each other.
        "tpe": lambda key: samplers.TPESampler(seed=key, constant_liar=True),
        "gp": lambda key: samplers.GPSampler(seed=key),
    }
    return Keyed(makers[name], seed)


def pruner(name: str, early_terminate: dict[str, Any]) -> BasePruner:
    """Optuna's pruner of a name; a trial's steps are its validations, from 1.

    Args:
        name: none, median, halving or hyperband; halving is what W&B calls hyperband
        early_terminate: W&B's min_iter (validations before the first decision) and eta
    """
    first, eta = early_terminate.get("min_iter", 1), early_terminate.get("eta", 3)
    match name:
        case "median":
            return optuna.pruners.MedianPruner(n_warmup_steps=first)
        case "halving":
            return optuna.pruners.SuccessiveHalvingPruner(first, reduction_factor=eta)
        case "hyperband":
            return optuna.pruners.HyperbandPruner(first, reduction_factor=eta)
    return optuna.pruners.NopPruner()
