"""Command lines in processes of their own, forked from one that has imported the packages.

A fresh interpreter takes five seconds of imports; a fork of one that has done nothing else, none.
"""

import multiprocessing
import os
import runpy
import signal
import socket
import sys
import time
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

from launches import environment

CONTEXT = multiprocessing.get_context("forkserver")
PATIENCE = 300  # seconds, of a loaded machine; nothing takes that long
STARTED = []


def warm():
    """Starts the process that others are forked from, unless it is there."""
    before = dict(os.environ)
    os.environ.update(environment())  # where it finds what it imports
    CONTEXT.set_forkserver_preload(["everything"])
    forkserver.ensure_running()
    os.environ.clear()
    os.environ.update(before)


class Forked:
    """A process that runs a module as `python -m` does, or a file, in a session of its own.

    Args:
        module: such as recipes.classify, or my_recipe.py
        args: of its command line
        folder: that it runs in
        variables: of its environment, beside those of all tests
    """

    def __init__(self, module, *args, folder=".", **variables):
        warm()
        where = Path(folder).resolve()
        self.log = where / f"output-{len(STARTED)}.txt"
        target = (module, args, str(where), environment(**variables), str(self.log))
        self.process = CONTEXT.Process(target=work, args=target)
        self.process.start()
        self.pid = self.process.pid
        STARTED.append(self)

    def poll(self):
        """Its exit status if it has ended: negative for a signal that ended it."""
        return self.process.exitcode

    def wait(self):
        """Its exit status, when it has ended."""
        self.process.join(PATIENCE)
        assert self.poll() is not None, f"it still runs: {self.output()}"
        return self.poll()

    def output(self):
        """What it has printed so far, with its errors."""
        return self.log.read_text() if self.log.exists() else ""

    def send_signal(self, number):
        send(number, self.pid)

    def end(self):
        """Ends it, and all that it has started."""
        if self.poll() is None:
            send(signal.SIGKILL, self.pid, os.killpg)
            self.process.join()


def send(number, process, kill=os.kill):
    """Sends a signal to a process, which may have ended meanwhile: with its parent, for one."""
    with suppress(ProcessLookupError):
        kill(process, number)


def ranks(count, module, *args, **options):
    """The processes of one run on this machine, as if something else than Lightning started them.

    Args:
        count: of processes
        module, args, options: of each of them, as `Forked`
    """
    shared = {"NODE_RANK": "0", "WORLD_SIZE": str(count)}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [
        Forked(module, *args, LOCAL_RANK=str(rank), **shared, **options) for rank in range(count)
    ]


def ended_well(*processes):
    """Waits for processes; fails with what they have printed, unless all end with status 0."""
    for process in processes:
        assert process.wait() == 0, process.output()


def end_all():
    """Ends what a test has left."""
    for process in STARTED:
        process.end()
    STARTED.clear()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until(condition):
    """Waits for something to become true, and returns it."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


def work(module, args, folder, variables, log):
    """In the new process."""
    os.setsid()
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.path[:0] = [folder, *variables["PYTHONPATH"].split(os.pathsep)]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
        stream.reconfigure(line_buffering=True)
    from lightning.fabric.utilities.rank_zero import _get_rank
    from lightning.pytorch.utilities import rank_zero_only

    rank_zero_only.rank = _get_rank() or 0  # as when it is imported
    sys.argv = [module, *args]
    if module.endswith(".py"):
        sys.modules["__main__"].__spec__ = None  # as of a script
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
