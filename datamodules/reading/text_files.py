"""Files of plain text."""

import gzip
import zlib
from pathlib import Path


def text_files(path: Path, option: str) -> list[Path]:
    """A file, or the files below a folder in the order of their names, without hidden ones.

    Args:
        path: of the file or folder
        option: that it was given by, for the message

    Raises:
        ValueError: if the folder has no file
        FileNotFoundError: if nothing is there
    """
    if not path.exists():
        raise FileNotFoundError(f"{option}={path}: no such file or folder")
    if path.is_file():
        return [path]
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    ]
    if not found:
        raise ValueError(f"{option}={path}: a folder without a file")
    return found


def read_text(path: Path) -> str:
    r"""A file's text: UTF-8, plain or compressed by gzip; lines end by `\n`.

    Raises:
        ValueError: if it is none
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from error
    return text.replace("\r\n", "\n")
