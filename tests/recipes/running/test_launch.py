"""A tree of processes: what each prints and how it ends, and that none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recipes.running.launch import Task, last_line, launch

# What the tasks do; in a file, where other processes find it.
WORK = """
import os, sys, time
from pathlib import Path
from recipes.running.launch import Task, launch

def say(text, status):
    print(text, flush=True)
    sys.exit(status)

def tell(name):
    say(os.environ.get(name), 3)

def sleep(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)

def overlap(folder, number):
    Path(folder, f"{number}-start").write_text(str(time.monotonic()))
    time.sleep(0.3)
    Path(folder, f"{number}-end").write_text(str(time.monotonic()))

if __name__ == "__main__":
    for _ in launch([Task("a", sleep, ("pid",), Path("a.log"))], 1, []):
        pass
"""


@pytest.fixture
def work(monkeypatch, tmp_path):
    """The tasks' module."""
    Path("launched_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return __import__("launched_work")


def test_a_log_stays_where_a_task_failed(work):
    tasks = [Task(str(s), work.say, (f"ends {s}", s), Path(f"{s}.log")) for s in (0, 3)]
    found = {task.name: status for task, status in launch(tasks, 1, [])}
    assert found == {"0": 0, "3": 3}
    assert not Path("0.log").exists() and last_line(Path("3.log")) == "ends 3"
    assert last_line(Path("nothing.log")) == "it said nothing"


def test_a_task_has_the_environment_of_its_start(work, monkeypatch):
    """Not of the first task's, from whose time the process is that all are forked from."""
    for value in ("one", "two"):
        monkeypatch.setenv("TOLD", value)
        for task, _ in launch([Task(value, work.tell, ("TOLD",), Path(f"{value}.log"))], 1, []):
            assert last_line(task.log) == value


@pytest.mark.parametrize("jobs", [1, 2])
def test_as_many_at_once_as_allowed(work, jobs, tmp_path):
    tasks = [Task(str(n), work.overlap, (str(tmp_path), n), Path(f"{n}.log")) for n in range(3)]
    assert {status for _, status in launch(tasks, jobs, [])} == {0}
    times = [(float(Path(f"{n}-start").read_text()), 1) for n in range(3)]
    times += [(float(Path(f"{n}-end").read_text()), -1) for n in range(3)]
    running = [sum(change for _, change in sorted(times)[: i + 1]) for i in range(len(times))]
    assert max(running) == jobs


def test_no_task_outlives_its_parent(work):
    parent = subprocess.Popen([sys.executable, "launched_work.py"])
    deadline = time.monotonic() + 30
    while not (Path("pid").exists() and Path("pid").read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    task = int(Path("pid").read_text())
    os.kill(task, 0)  # it is there
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while alive(task) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(task)


def alive(process):
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
