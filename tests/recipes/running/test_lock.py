"""One process at a time trains a run, and one that is killed leaves no lock behind."""

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forks import Forked, send, until
from launches import environment
from recipes.running.lock import Locked, lock_of, locked
from trains import rows

SMALL = ("--model.network=MLP", "--model.network.inputs=64", "--model.network.widths=[16]")
# Takes a lock and forks, as a data loader does; both processes then wait.
FORKS = """
import fcntl, os, pathlib, time
from recipes.running.lock import locked
def wait():
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(100)
"""
OURS = "with locked(pathlib.Path('lock'), 'it is held'): wait()"
STOCK = "file = open('lock', 'a+'); fcntl.flock(file, fcntl.LOCK_EX); wait()"


def test_the_second_is_refused_and_told_who_is_first(tmp_path):
    said = rf"it is held by process {os.getpid()} on host {platform.node()}: wait, or end it first"
    with locked(tmp_path / "lock", "it is held"):
        with pytest.raises(Locked, match=said), locked(tmp_path / "lock", "it is held"):
            pass
        assert json.loads((tmp_path / "lock").read_text())["id"] == os.getpid()
    assert not list(tmp_path.iterdir())
    (tmp_path / "lock").write_text("what a killed process left")
    with locked(tmp_path / "lock", "it is held"):
        pass
    with pytest.raises(MemoryError), locked(tmp_path / "lock", "it is held"):
        raise MemoryError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("taken", [OURS, STOCK])
def test_a_killed_process_leaves_no_lock_to_those_it_has_forked(taken):
    """The negative control: the system's lock is inherited, and outlives the process."""
    command = [sys.executable, "-c", FORKS + taken]
    first = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    child = int(first.stdout.readline())
    try:
        with pytest.raises(Locked, match="wait"), locked(Path("lock"), "it is held"):
            pass
        first.kill()
        first.wait()
        if taken == OURS:
            with locked(Path("lock"), "it is held"):
                pass
        else:
            with pytest.raises(Locked, match="wait"), locked(Path("lock"), "it is held"):
                pass
    finally:
        send(signal.SIGKILL, child)
        first.stdout.close()


def test_a_run_that_is_being_trained_is_left_alone(recipe):
    """Neither a resume nor the same name nor two resumes at once touch it."""
    process = Forked("recipes.classify", "fit", "--name=a", "--trainer.max_epochs=5000", *SMALL)
    folder = Path("runs/classify/a")
    checkpoint = folder / "checkpoints/last.ckpt"
    until(checkpoint.exists)
    before = [(folder / name).read_bytes() for name in ("config.yaml", "run.json")]
    owner = rf"runs/classify/a is trained by process {process.pid} on host {platform.node()}"
    with pytest.raises(ValueError, match=owner):
        recipe("classify", "fit", f"--ckpt_path={checkpoint}")
    with pytest.raises(FileExistsError, match="runs/classify/a exists"):
        recipe("classify", "fit", "--name=a", *SMALL)
    recipe("classify", "validate", f"--ckpt_path={checkpoint}")  # it reads alone
    assert [(folder / name).read_bytes() for name in ("config.yaml", "run.json")] == before
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()

    command = ["recipes.classify", "fit", f"--ckpt_path={checkpoint}"]
    resumes = [Forked(*command), Forked(*command)]
    refused = until(lambda: next((r for r in resumes if r.poll() is not None), None))
    (other,) = (resume for resume in resumes if resume is not refused)
    assert refused.poll() == 1
    assert f"{folder} is trained by process {other.pid} on" in refused.output()
    steps = len(rows(folder))
    until(lambda: len(rows(folder)) > steps)  # it goes on
    other.send_signal(signal.SIGTERM)
    assert other.wait() == 143
    found = [row["step"] for row in rows(folder) if "train/loss" in row]
    assert found == sorted(set(found)), "no row is there twice"
    assert not (folder / ".lock").exists()


def test_a_run_is_free_when_it_has_ended(recipe):
    recipe("classify", "fit", "--name=a", "--trainer.max_epochs=1", *SMALL)
    folder = Path("runs/classify/a")
    assert not (folder / ".lock").exists()
    with locked(*lock_of(folder)), pytest.raises(Locked, match="runs/classify/a is trained"):
        recipe("classify", "fit", f"--ckpt_path={folder}/checkpoints/last.ckpt")
    recipe(
        "classify", "fit", f"--ckpt_path={folder}/checkpoints/last.ckpt", "--trainer.max_epochs=2"
    )
