"""Files that are at any time whole: the old one or the new one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, so that the file at `path` is at any time the old one or the new one.

    What fails while it is written leaves the old file, and nothing beside it.
    """
    partial = path.with_name(f"{path.name}.partial")
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
