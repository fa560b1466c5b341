"""Many pictures at once as pixels, on all cores."""

import csv
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from datamodules.reading.listing import Listing
from datamodules.reading.pictures import Pictures, Unreadable

AT_ONCE = 256  # pictures whose pixels are waited for


def decode(
    listing: Listing, pictures: Pictures, rows: Sequence[int]
) -> Iterator[np.ndarray | Unreadable]:
    """The pixels of some pictures in order, (channels, height, width) uint8, or what hinders.

    Threads do: Pillow decodes and resizes without Python's lock.

    Args:
        listing: where they are
        pictures: reads them
        rows: their numbers
    """

    def read(found: tuple[bytes | None, str | None]) -> np.ndarray | Unreadable:
        try:
            return pictures.read(*found)
        except Unreadable as error:
            return error

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for start in range(0, len(rows), AT_ONCE):
            # Found here: a Parquet file is read in its order, by one thread.
            yield from pool.map(read, map(listing.find, rows[start : start + AT_ONCE]))
    finally:  # also when the process is told to end
        pool.shutdown(cancel_futures=True)


def refuse(listing: Listing, row: int, error: Unreadable) -> ValueError:
    """What to raise for a picture that cannot be read: it names its file."""
    said = f"{listing.root / listing.names[row]}: {error}"
    return ValueError(f"{said}; --data.on_error=skip leaves such pictures out")


def write_skipped(path: Path, skipped: dict[str, str]) -> None:
    """Lists pictures that are left out, with what hinders; the file is at any time whole."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "reason"), *skipped.items()])
    os.replace(partial, path)


def read_skipped(path: Path) -> dict[str, str]:
    """What `write_skipped` wrote, if it did."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}
