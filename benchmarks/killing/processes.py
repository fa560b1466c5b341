"""Processes of runs, forked from one that has imported the packages: a start takes no seconds."""

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
BENCHMARKS = Path(__file__).parents[1]
# What would tell a process that it is one of several.
LEFT = ("MASTER_", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "PL_GLOBAL_SEED")


def warm() -> None:
    """Starts the process that others are forked from, and waits until it has imported all."""
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (BENCHMARKS, BENCHMARKS.parent)))
    os.environ |= {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    CONTEXT.set_forkserver_preload(["__main__", "killing.arms"])
    forkserver.ensure_running()
    first = CONTEXT.Process(target=int)  # the first run would wait, and count this as its time
    first.start()
    first.join()


class Started:
    """A process that does something in a folder, in a session of its own.

    Args:
        folder: that it works in; what it prints is there in output.txt
        environment: variables, beside those of this process
        target: a function of a module
        arguments: of the function
    """

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        target: Callable[..., None],
        *arguments: Any,  # noqa: ANN401 - of any function
    ) -> None:
        given = (str(folder), environment, target, arguments)
        self.process = CONTEXT.Process(target=work, args=given)
        self.process.start()

    @property
    def status(self) -> int | None:
        """Its exit status if it has ended: negative for a signal that ended it."""
        return self.process.exitcode

    def send(self, number: int) -> None:
        """Sends it a signal, if it still runs."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def end(self) -> None:
        """Ends it, and all that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()


def all_ended(processes: list[Started], seconds: float) -> bool:
    """Whether all end within a time; what does not is ended."""
    until = time.monotonic() + seconds
    for process in processes:
        process.process.join(max(0.0, until - time.monotonic()))
    ended = all(process.status is not None for process in processes)
    for process in processes:
        process.end()
    return ended


def ranks(count: int) -> list[dict[str, str]]:
    """The environments of the processes of one run, as torchrun gives them."""
    if count == 1:
        return [{}]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    shared = {"NODE_RANK": "0", "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    return [{**shared, "MASTER_PORT": port, "LOCAL_RANK": str(rank)} for rank in range(count)]


def work(
    folder: str, environment: dict[str, str], target: Callable[..., None], arguments: tuple
) -> None:
    """In the new process."""
    from lightning.fabric.utilities.rank_zero import _get_rank
    from lightning.pytorch.utilities import rank_zero_only

    os.setsid()
    multiprocessing.set_start_method(None, force=True)  # its workers start as in a new interpreter
    for name in [name for name in os.environ if name.startswith(LEFT)]:
        del os.environ[name]
    os.environ |= environment
    rank_zero_only.rank = _get_rank() or 0  # as when it is imported
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    file = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
        stream.reconfigure(line_buffering=True)
    target(*arguments)
