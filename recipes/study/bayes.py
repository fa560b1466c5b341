"""Bayesian search, by Optuna."""

import math
from collections.abc import Sequence

from jsonargparse.typing import NonNegativeInt, PositiveInt

from recipes.parts.numbers import PositiveFinite
from recipes.study.search import Kind, Random, Rates, Setting


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
        ValueError: without Optuna
    """

    def __init__(
        self,
        rounds: PositiveInt = 4,
        trials: PositiveInt = 8,
        learning_rate: Rates = [1e-4, 1.0],  # noqa: B006 - only read
        weight_decay: list[PositiveFinite] | None = None,
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
        # Constant liar: the trials of a batch keep away from each other.
        sampler = self.optuna.samplers.TPESampler(
            seed=self.seed + number, n_startup_trials=0, constant_liar=True, multivariate=True
        )
        study = self.optuna.create_study(sampler=sampler)
        space = {
            name: self.optuna.distributions.FloatDistribution(low, high, log=True)
            for name, (low, high) in self.ranges(kind.optimizer).items()
        }
        # Optuna takes no infinite value: a trial that diverged is as bad as the worst that did not.
        worst = max((value for _, value in tried if math.isfinite(value)), default=0.0)
        for setting, value in tried:
            params = {name: getattr(setting, name) for name in space}
            value = value if math.isfinite(value) else worst
            study.add_trial(
                self.optuna.trial.create_trial(params=params, distributions=space, value=value)
            )
        return [Setting(**study.ask(space).params) for _ in range(self.trials)]
