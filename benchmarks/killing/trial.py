"""One case: a run is killed, resumed, and compared with the one that nobody killed."""

import shutil
import signal
import threading
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Literal

from killing.arms import ours, stock
from killing.cases import TO, Case
from killing.compare import checkpoints, difference, is_readable
from killing.points import Point
from killing.processes import Started, all_ended, ranks
from killing.setups import Setup
from killing.table import LATE

Arm = Literal["ours", "stock"]
PATIENCE = 240  # seconds, of a run on a busy machine
ANSWER = 10  # seconds from a signal to the end of every process
ATTEMPTS = 10  # to kill a run before it ends, or within a save


class Trials:
    """Runs cases, in folders of their own.

    Args:
        work: folder for them; the files that workers read are in `data` there
        temporary: folder on another file system, in which large checkpoints may be prepared
    """

    def __init__(self, work: Path, temporary: Path) -> None:
        self.work, self.temporary = work, temporary
        self.locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        # Of runs that nobody killed: how long they took, and a save of theirs.
        self.seconds: dict[str, float] = {}
        self.saves: dict[str, float] = {}

    def verdict(self, arm: Arm, case: Case) -> str:
        """What is wrong with a run that was killed and resumed; empty if it is identical."""
        whole = self.whole(arm, case.setup)
        for attempt in range(ATTEMPTS):
            folder = self.work / arm / f"{case}, {attempt}"
            shutil.rmtree(folder, ignore_errors=True)
            fault = None if case.kind == "not killed" else self.kill(arm, case, folder, attempt)
            if fault == "missed":
                shutil.rmtree(folder)
                continue
            if not fault and (found := checkpoints(folder)) and not is_readable(found[-1]):
                fault = "unreadable checkpoint"
            fault = fault or self.finish(arm, case.setup, folder) or difference(folder, whole)
            if not fault:
                shutil.rmtree(folder)
            return fault
        return LATE

    def whole(self, arm: Arm, setup: Setup) -> Path:
        """The folder of the run that nobody killed."""
        name = f"{arm}-{setup}"
        folder = self.work / "whole" / name
        with self.locks[name]:
            if name not in self.seconds:
                shutil.rmtree(folder, ignore_errors=True)
                began = time.monotonic()
                if fault := self.finish(arm, setup, folder):
                    raise RuntimeError(f"{folder}: {fault}")
                self.seconds[name] = time.monotonic() - began
                self.saves[name] = seconds_of_save(folder)
        return folder

    def finish(self, arm: Arm, setup: Setup, folder: Path) -> str:
        """Trains a run to its end; returns what went wrong."""
        processes = self.start(arm, setup, folder)
        if not all_ended(processes, PATIENCE):
            return "hangs when resumed"
        failed = [str(process.status) for process in processes if process.status]
        return f"fails when resumed: status {', '.join(failed)}" if failed else ""

    def start(self, arm: Arm, setup: Setup, folder: Path, point: str = "") -> list[Started]:
        """Starts a run, or resumes it if it has saved."""
        folder.mkdir(parents=True, exist_ok=True)
        if arm == "stock":
            what = (stock, setup, Point(point))
        else:
            found = checkpoints(folder)
            new = setup.ours(self.work / "data")
            resume = ["fit", f"--ckpt_path={found[-1].relative_to(folder)}"] if found else new
            what = (ours, setup.recipe, resume, Point(point))
        outside = {"TMPDIR": str(self.temporary)} if setup.kind == "big" else {}
        return [Started(folder, outside | rank, *what) for rank in ranks(setup.processes)]

    def kill(self, arm: Arm, case: Case, folder: Path, attempt: int) -> str:
        """Kills the run of a case; returns what is wrong with its end."""
        processes = self.start(arm, case.setup, folder, case.point)
        if case.kind == "fixed point":
            processes[0].process.join(PATIENCE)
        else:
            self.wait(arm, case, folder, attempt, processes[0])
            meant = {TO[0]: processes, TO[1]: processes[:1], TO[2]: processes[1:]}[case.to]
            for process in meant:
                process.send(signal.Signals[case.signal])
        if not all_ended(processes, ANSWER):
            return "hangs"
        # Stock Lightning ends with 0 by SIGTERM, too.
        ended = any(process.status == 0 for process in processes)
        if ended and count(folder, "end") == count(self.whole(arm, case.setup), "end"):
            return "missed"
        return "missed" if case.kind == "during a save" and not is_saving(folder) else ""

    def wait(self, arm: Arm, case: Case, folder: Path, attempt: int, first: Started) -> None:
        """Waits for the moment of a case, or the end of the run.

        Args:
            arm: that is tried
            case: whose random numbers give the moment
            folder: of the run
            attempt: a later one is earlier
            first: process of the run
        """
        draw, name = case.random(attempt), f"{arm}-{case.setup}"
        if case.kind == "random moment":
            time.sleep(draw.random() * self.seconds[name] / (1 + attempt / 3))
            return
        saves = 2 + draw.randrange(2)
        while count(folder, "begin") < saves and first.status is None:
            time.sleep(0.001)
        longest = self.saves[name] if case.kind == "during a save" else self.seconds[name] / 5
        time.sleep(draw.random() * longest / (1 + attempt / 3))


def noted(folder: Path) -> list[list[str]]:
    """The begins and ends of a run's saves, each with its time."""
    file = folder / "saves"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def count(folder: Path, word: str) -> int:
    """How often a run has begun or ended a save."""
    return sum(line[:1] == [word] for line in noted(folder))


def seconds_of_save(folder: Path) -> float:
    """How long a run's saves took, median."""
    times = [float(line[1]) for line in noted(folder)]
    return median(end - begin for begin, end in zip(times[::2], times[1::2], strict=True))


def is_saving(folder: Path) -> bool:
    """Whether a run was killed while it saved."""
    return count(folder, "begin") > count(folder, "end")
