"""A study's trials as a queue that processes of several machines take from.

A trial whose process has died goes back into the queue and keeps its number, and with it what was
drawn for it, its place in the grid and its folder. Optuna's own way, heartbeats, adds the trial
again under another number, and is there for databases alone.
"""

import contextlib
import os
import platform
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from recipes.parts.files import is_alive

Found = TypeVar("Found")
MOST_DEATHS = 3  # of a trial that takes its process down each time
RACES = 8  # that a process may lose against others that make the same tables and entries


def again_after_races(action: Callable[[], Found]) -> Found:
    """What an action returns, begun anew while other processes add the same to a database.

    Two searches that start at once both find no tables, and both make them (optuna #1092).
    """
    for race in range(RACES):
        try:
            return action()
        except Exception as error:  # of each driver's own kind
            same = type(error).__name__ == "IntegrityError" or "already exists" in str(error)
            if not same or race == RACES - 1:
                raise
            time.sleep(random.uniform(0, 0.2))
    raise AssertionError("not reached")


def open_storage(url: str) -> BaseStorage:
    """Where a study is kept.

    Args:
        url: of a database, as SQLAlchemy has it, or `journal:<file>`, for shared file systems

    Raises:
        ValueError: if it cannot be opened
    """
    kind, _, path = url.partition(":")
    try:
        # Absolute: jsonargparse goes to a config's folder to read it, while another thread writes.
        file = Path(path.removeprefix("///")).expanduser().absolute()
        if kind in ("journal", "sqlite"):
            file.parent.mkdir(parents=True, exist_ok=True)
        if kind == "journal":
            return JournalStorage(JournalFileBackend(str(file)))
        if kind == "sqlite":  # whose own patience, when others write, is 5 s
            patience = {"connect_args": {"timeout": 60}}
            return again_after_races(lambda: RDBStorage(f"sqlite:///{file}", patience))
        return again_after_races(lambda: RDBStorage(url))
    except Exception as error:  # of SQLAlchemy's many, and of each driver's
        raise ValueError(f"--storage={url}: {error}") from error


class Queue:
    """The trials of a study.

    Args:
        study: of Optuna
        storage: that holds it
        total: number of trials that there shall be; any beyond it are left alone
        grace: seconds after which a trial without a sign of life is run again
    """

    def __init__(self, study: optuna.Study, storage: BaseStorage, total: int, grace: float) -> None:
        self.study, self.storage, self.total, self.grace = study, storage, total, grace
        # Of each trial, the last sign of life and when it was first seen, seconds.
        self.signs: dict[int, tuple[list[Any], float]] = {}
        self.study_id = storage.get_study_id_from_name(study.study_name)

    def trials(self) -> list[FrozenTrial]:
        """Those that there are, by number."""
        return self.study.get_trials(deepcopy=False)[: self.total]

    def finished(self) -> list[FrozenTrial]:
        """Those that have ended, well or not."""
        return [trial for trial in self.trials() if trial.state.is_finished()]

    def ended_well(self) -> list[FrozenTrial]:
        """Those that have a value."""
        return [t for t in self.trials() if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]

    def free(self) -> int:
        """How many trials a process could take now."""
        trials = self.trials()
        waiting = sum(trial.state == TrialState.WAITING for trial in trials)
        return waiting + self.total - len(trials)

    def take(self) -> optuna.Trial | None:
        """A trial to run, which no other process has; nothing if there is none left."""
        while self.free():
            trial = self.study.ask()
            if trial.number < self.total:
                return trial
            self.put_back(trial.number)  # others were faster
        return None

    def put_back(self, number: int, state: TrialState = TrialState.WAITING) -> None:
        """Lets a trial be run again, from its last checkpoint if it has one."""
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_state_values(self._id(number), state)

    def put_back_dead(self) -> None:
        """Puts back what no process runs any more; gives up what took down several."""
        for trial in self.trials():
            if trial.state == TrialState.RUNNING and self._is_dead(trial):
                deaths = trial.user_attrs.get("deaths", 0) + 1
                self._note(trial.number, "deaths", deaths)
                self._note(trial.number, "reason", f"its process died, {deaths} times")
                given_up = deaths == MOST_DEATHS
                self.put_back(trial.number, TrialState.FAIL if given_up else TrialState.WAITING)

    def _is_dead(self, trial: FrozenTrial) -> bool:
        """Whether its process has gone, or has for a while shown nothing, by this one's clock.

        The clocks of two machines differ, so that the signs' own times say nothing.
        """
        sign = [trial.datetime_start, trial.user_attrs.get("alive")]
        if self.signs.get(trial.number, ((), 0.0))[0] != sign:
            self.signs[trial.number] = sign, time.monotonic()
        match trial.user_attrs.get("process"):
            case [str(host), int(process), started]:
                here = host == platform.node() and started == str(trial.datetime_start)
                if here and not is_alive(process):
                    return True
        return time.monotonic() - self.signs[trial.number][1] > self.grace

    @contextlib.contextmanager
    def alive(self, number: int) -> Iterator[None]:
        """Shows within the context that a process runs a trial."""
        over = threading.Event()
        started = str(self.trials()[number].datetime_start)
        self._note(number, "process", [platform.node(), os.getpid(), started])

        def show() -> None:
            while not over.is_set():
                self._note(number, "alive", time.time())
                over.wait(self.grace / 6)

        thread = threading.Thread(target=show, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _note(self, number: int, name: str, value: Any) -> None:  # noqa: ANN401 - plain values
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(self._id(number), name, value)

    def _id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)
