"""A search: all that is known of it, and the study that it opens."""

from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from recipes.tune.queue import Queue, again_after_races, open_storage
from recipes.tune.samplers import pruner, sampler
from recipes.tune.space import Space

# What a study is of: a search that differs in one of them is another study.
IDENTITY = ("recipe", "flags", "parameters", "metric", "goal", "value")


@dataclass(frozen=True)
class Search:
    """All that is known of a search, in plain values, so that each process can be told.

    Attributes:
        recipe: its name, or its module, such as lab.vae
        flags: of each trial's fit, from --config on
        space: what is varied
        study: name of the study, and of the runs' group
        storage: URL of where the study is kept
        folder: of the study's files
        trials: how many there shall be in all
        sampler: grid, random, tpe or gp
        pruner: none, median, halving or hyperband
        metric: log key
        goal: minimize or maximize
        value: of a trial, the metric's last or best
        seed: of what is drawn
        grace: seconds after which a trial without a sign of life is run again
    """

    recipe: str
    flags: list[str]
    space: Space
    study: str
    storage: str
    folder: Path
    trials: int
    sampler: str
    pruner: str
    metric: str
    goal: str
    value: str
    seed: int
    grace: float

    def open(self) -> Queue:
        """The study's trials; the study is made if it is not there.

        Raises:
            ValueError: if there is one of the same name that is of something else
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = open_storage(self.storage)
        return again_after_races(lambda: self._queue(storage))

    def _queue(self, storage: BaseStorage) -> Queue:
        study = self._study(storage)
        identity = {**asdict(self), "parameters": self.space.parameters}
        for name in IDENTITY:
            known = study.user_attrs.get(name, identity[name])
            if known != identity[name]:
                if all(t.state in (TrialState.WAITING, TrialState.FAIL) for t in study.trials):
                    # Nothing has come of it, such as of a command with a mistake in it.
                    optuna.delete_study(study_name=self.study, storage=storage)
                    return self.open()
                said = f"its {name} was {known}, not {identity[name]}; give another name"
                raise ValueError(f"--study={self.study}: {said}")
            if name not in study.user_attrs:
                study.set_user_attr(name, identity[name])
        return Queue(study, storage, self.trials, self.grace)

    def _study(self, storage: BaseStorage) -> optuna.Study:
        return optuna.create_study(
            storage=storage,
            sampler=sampler(self.sampler, self.space, self.seed),
            pruner=pruner(self.pruner, self.space.early_terminate),
            study_name=self.study,
            direction=self.goal,
            load_if_exists=True,
        )
