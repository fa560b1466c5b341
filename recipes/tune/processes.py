"""The processes that run a search's trials, and what is said of them."""

import os
import time
from collections.abc import Callable, Iterable, Iterator

from recipes.running.launch import Task, last_line, launch
from recipes.tune import trial
from recipes.tune.outcome import tell
from recipes.tune.queue import Queue
from recipes.tune.search import Search

POLL = 0.5  # seconds between two looks at what other processes run
# With what Optuna imports once a study is opened, half a second each time.
PRELOAD = ["recipes.tune.trial", "alembic.command", "alembic.migration", "sqlalchemy.orm"]


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
