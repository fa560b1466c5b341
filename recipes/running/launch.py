"""Many runs in one tree of processes, which imports the packages once."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any


@dataclass
class Task:
    """What one process does.

    Attributes:
        name: for messages
        target: a function of a module, so that another process finds it
        arguments: of the function; plain values
        log: file of what the process prints; removed when it has ended well
    """

    name: str
    target: Callable[..., None]
    arguments: tuple[Any, ...]
    log: Path


def launch(tasks: Iterable[Task], jobs: int, preload: list[str]) -> Iterator[tuple[Task, int]]:
    """Runs each task in a process of its own, some at once; yields it when it has ended.

    A process is forked from one that has imported the packages, several seconds each time, and
    has done nothing else: no thread, no GPU. When this process ends, by whatever, its tasks are
    told to end too (SIGTERM), and with them what they have started.

    Args:
        tasks: taken one by one, as places become free
        jobs: processes at once, 1 or more; they share out the cores
        preload: modules to import once

    Yields:
        the task, and its exit status; 0 is success
    """
    # Windows has no fork: there each process imports by itself.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(preload)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    running: dict[int, tuple[Task, multiprocessing.process.BaseProcess]] = {}
    waiting = iter(tasks)
    try:
        while True:
            while len(running) < jobs and (task := next(waiting, None)) is not None:
                task.log.parent.mkdir(parents=True, exist_ok=True)
                given = (task, threads if jobs > 1 else None, dict(os.environ))
                process = context.Process(target=_work, args=given)
                process.start()
                running[process.sentinel] = task, process
            if not running:
                return
            for sentinel in wait(list(running)):
                task, process = running.pop(sentinel)
                process.join()
                if process.exitcode == 0:
                    task.log.unlink(missing_ok=True)
                yield task, process.exitcode
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def _work(task: Task, threads: int | None, environment: dict[str, str]) -> None:
    """In the new process: prints to the log, and ends with its parent."""
    # What it is forked from has that of its own start, which may be long ago.
    os.environ.clear()
    os.environ.update(environment)
    with task.log.open("a") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if threads is not None and (torch := sys.modules.get("torch")):  # as preloaded
        torch.set_num_threads(min(threads, torch.get_num_threads()))
    task.target(*task.arguments)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)


def last_line(log: Path) -> str:
    """What a task that has failed said last."""
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
