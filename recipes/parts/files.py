"""Files that are at any time whole: the old one or the new one."""

import glob
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, so that the file at `path` is at any time the old one or the new one.

    What fails while it is written leaves the old file, and nothing beside it. Several processes may
    do so at once: the last one's file stays.
    """
    # The name says whose it is: what a killed process has left, the next one removes.
    mark = f"{path.name}.{platform.node()}"
    for left in path.parent.glob(f"{glob.escape(mark)}-*.partial"):
        number = left.name.removeprefix(f"{mark}-").removesuffix(".partial")
        if number.isdigit() and not is_alive(int(number)):
            left.unlink(missing_ok=True)
    partial = path.with_name(f"{mark}-{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def replace_file(path: Path, text: str) -> None:
    """Writes a text file so that it is at any time the old one or the new one."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def is_alive(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True
