"""A search: a study, the processes that run its trials, and what is said of them."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from recipes.running.launch import Task, last_line, launch
from recipes.tune import trial
from recipes.tune.outcome import tell
from recipes.tune.queue import Queue, open_storage
from recipes.tune.samplers import pruner, sampler
from recipes.tune.space import Space

POLL = 0.5  # seconds between two looks at what other processes run
# With what Optuna imports once a study is opened, half a second each time.
PRELOAD = ["recipes.tune.trial", "alembic.command", "alembic.migration", "sqlalchemy.orm"]
# What a study is of: a search that differs in one of them is another study.
IDENTITY = ("recipe", "flags", "parameters", "metric", "goal", "value")


@dataclass(frozen=True)
class Search:
    """All that is known of a search, in plain values, so that each process can be told.

    Attributes:
        recipe: the technique
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


def run(search: Search, jobs: int, timeout: float) -> Queue:
    """Runs what is left of a search, and waits for what other processes run of it.

    Args:
        search: to run
        jobs: trials at once
        timeout: seconds after which no trial is begun

    Returns:
        its trials

    Raises:
        ValueError: if the recipe does not take what the space holds, or the first trial fails by
            anything but a loss that is not finite or a lack of memory
    """
    queue, end = search.open(), time.monotonic() + timeout
    told = {trial.number for trial in queue.finished()}
    if told:
        print(f"{search.study}: {len(told)} of {search.trials} trials have ended before")
    if queue.free():
        for _ in processes(search, [trial.check], 1):
            pass
    while len(queue.finished()) < search.trials and time.monotonic() < end:
        queue.put_back_dead()
        for _ in processes(search, takers(queue, end), jobs):
            tell(queue, search.metric, told)
        tell(queue, search.metric, told)
        if not queue.free():
            time.sleep(POLL)  # others run the rest
    return queue


def takers(queue: Queue, end: float) -> Iterator[Callable[[Search], None]]:
    """What processes do while there are trials to take, and time."""
    while queue.free() and time.monotonic() < end:
        yield trial.run


def processes(
    search: Search, targets: Iterable[Callable[[Search], None]], jobs: int
) -> Iterator[None]:
    """Runs targets in processes of their own; yields after each.

    Raises:
        ValueError: if one ended by a mistake of the user's
    """
    tasks = (
        Task(search.study, target, (search,), search.folder / f"process-{os.getpid()}-{number}.log")
        for number, target in enumerate(targets)
    )
    try:
        for task, status in launch(tasks, jobs, PRELOAD):
            if status == 1:
                raise ValueError(last_line(task.log).removeprefix("error: "))
            if status:
                kept = task.log.rename(task.log.with_suffix(".died.log"))
                again = f"its trial is run again after {search.grace:g} s"
                print(f"a process ended with status {status}, see {kept}; {again}", flush=True)
            yield
    finally:
        for log in search.folder.glob(f"process-{os.getpid()}-*[0-9].log"):
            log.unlink(missing_ok=True)
