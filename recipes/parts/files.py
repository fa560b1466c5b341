"""Files that are at any time whole: the old one or the new one."""

import csv
import glob
import io
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OF_TORCH = r"PytorchStreamWriter|inline_container"  # what it says when it cannot write


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within it an error of a file that cannot be written, as on a full disk, names that file.

    Raises:
        OSError: in the place of one that names no file, or of torch's RuntimeError
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        is_file = isinstance(error, OSError)
        if (is_file and error.filename) or not (is_file or re.search(OF_TORCH, str(error))):
            raise
        if is_file and error.errno:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise OSError(f"{path} could not be written, is the disk full? {error}") from error


def partial_of(path: Path) -> Path:
    """Where this process writes a file or folder before it is whole.

    Removes what a process that was killed has left there.
    """
    # The name says whose it is.
    mark = f"{path.name}.{platform.node()}"
    for left in path.parent.glob(f"{glob.escape(mark)}-*.partial*"):  # some name a format behind
        number = left.name.removeprefix(f"{mark}-").partition(".partial")[0]
        if number.isdigit() and not is_alive(int(number)):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
    return path.with_name(f"{mark}-{os.getpid()}.partial")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, so that the file at `path` is at any time the old one or the new one.

    What fails while it is written leaves the old file, and nothing beside it. Several processes may
    do so at once: the last one's file stays.

    Raises:
        OSError: from `writing`
    """
    partial = partial_of(path)
    try:
        with writing(path):
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


def append_line(path: Path, line: str) -> None:
    """Adds a whole line to a text file, or nothing.

    Raises:
        OSError: from `writing`
    """
    before = path.stat().st_size if path.exists() else 0
    try:
        with writing(path), path.open("ab+") as file:
            if before:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # of a process that was killed
                    file.write(b"\n")
            file.write(f"{line}\n".encode())
    except OSError:
        if path.exists():
            os.truncate(path, before)
        raise


def keep(path: Path) -> Path:
    """Copies a file beside itself, with the time in its name, and returns the copy's path."""
    name = f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}"
    copy = path.with_name(f"{name}.bak")
    number = 1
    while copy.exists():
        number += 1
        copy = path.with_name(f"{name}-{number}.bak")
    with replacing(copy) as partial:
        shutil.copyfile(path, partial)
    return copy


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as CSV, at once; their keys may differ, and numbers keep all their digits."""
    text = io.StringIO()
    keys = list({key: None for row in rows for key in row})
    writer = csv.DictWriter(text, keys, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(path, text.getvalue())
