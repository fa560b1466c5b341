"""Pictures of runs that anybody may have written: only PNG files in a run's own folder are read."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path, PureWindowsPath

from recipes.running.printable import printable

SIGNATURE = b"\x89PNG\r\n\x1a\n"


class ForeignFile(ValueError):
    """A run names a file as its picture that is not in its folder, or no picture."""


def check_name(path: str) -> str:
    """The path of a picture, as a run gives it, below the folder of its files.

    Raises:
        ForeignFile: if it leads elsewhere, on any system
    """
    windows = PureWindowsPath(str(path))
    if not isinstance(path, str) or windows.anchor or ".." in windows.parts:
        raise ForeignFile(f"{path} is not in the run's folder")
    return path


def check_content(content: bytes, path: str) -> bytes:
    """The content of a picture.

    Raises:
        ForeignFile: if it is no PNG
    """
    if not content.startswith(SIGNATURE):
        raise ForeignFile(f"{path} is no PNG")
    return content


def read_picture(folder: Path, path: str) -> bytes:
    """The content of a picture in a folder of a run.

    Raises:
        ForeignFile: if it lies elsewhere, also by a link, or is no PNG
        OSError: if there is no such file
    """
    file = folder / check_name(path)
    if not file.resolve(strict=True).is_relative_to(folder.resolve()):
        raise ForeignFile(f"{path} is a link out of the run's folder")
    return check_content(file.read_bytes(), path)


def readable(run: str, pictures: Iterable[tuple[str, Callable[[], bytes]]]) -> dict[str, bytes]:
    """The pictures that can be read, the later ones of a name; a foreign one is told, and left out.

    Args:
        run: its name, for the message
        pictures: file names, and what reads each of them
    """
    found = {}
    for name, read in pictures:
        try:
            found[name] = read()
        except ForeignFile as error:
            print(printable(f"skipped {name} of {run}: {error}"), file=sys.stderr)
        except OSError:
            pass  # it was not written, or not uploaded
    return found
