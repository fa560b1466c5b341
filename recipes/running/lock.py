"""One process at a time trains a run: the lock on its folder."""

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO
from weakref import WeakSet

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None

ATTEMPTS, PAUSE = 3, 0.05  # another process may hold a lock for a moment, to see if it is free
HELD: WeakSet[IO[str]] = WeakSet()


def _let_go() -> None:
    for file in list(HELD):
        file.close()


# Forked processes, such as a data loader's, may outlive the one that holds a lock.
os.register_at_fork(after_in_child=_let_go)


class Locked(ValueError):
    """Another process does what this one wants to do."""


class Held(ExitStack):
    """Locks that a process holds; they are not copied with what leads to them."""

    def __deepcopy__(self, memo: dict[int, object]) -> "Held":
        return self


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Within it no other process does the same; the file at `path` says which one does.

    The system takes the lock from a process that ends, also from one that is killed; the file that
    such a process leaves locks nothing. On a shared disk the lock holds between machines if that
    disk has such locks.

    Args:
        path: of the file, in a folder that exists
        what: is done, for the message: `runs/a is trained`

    Raises:
        Locked: if another process does it: `<what> by process 7 on host b: wait, or end it first`
    """
    file = _take(path)
    if file is None:
        raise Locked(f"{what} by {_owner(path)}: wait, or end it first")
    HELD.add(file)
    try:
        file.truncate(0)
        file.write(json.dumps({"id": os.getpid(), "host": platform.node()}))
        file.flush()
        yield
    finally:
        if not file.closed:  # as it is in a forked process
            path.unlink(missing_ok=True)  # before another process can have it
            file.close()


@contextmanager
def in_turn(folder: Path | None) -> Iterator[None]:
    """Within it no other process that shares a folder does the same; they wait for each other.

    Args:
        folder: that they share; None: there are no others
    """
    if folder is None or fcntl is None:
        yield
        return
    with (folder / "turn").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def lock_of(folder: Path) -> tuple[Path, str]:
    """What `locked` takes to train the run of a folder."""
    return folder / ".lock", f"{folder} is trained"


def _take(path: Path) -> IO[str] | None:
    """The open file with the lock, if no other process has it."""
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE if attempt else 0)
        file = path.open("a+")
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file  # and not one that another process has removed since
        except (BlockingIOError, PermissionError):
            pass
        except OSError:  # a disk without locks
            return file
        file.close()
    return None


def _owner(path: Path) -> str:
    with suppress(OSError, ValueError, KeyError, TypeError):
        owner = json.loads(path.read_text())
        return f"process {owner['id']} on host {owner['host']}"
    return "another process"
