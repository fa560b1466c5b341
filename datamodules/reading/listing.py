"""Which pictures there are below a path, of which split and class; no picture is opened."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from datamodules.reading.split_words import split_named

PART_OF = {"train": "train", "validation": "val", "test": "test"}
# Of the formats that are decoded.
SUFFIXES = frozenset(
    ".apng .avif .bmp .dds .gif .icns .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .jpx .mpo .pbm .pcx "
    ".pgm .png .pnm .ppm .rgb .sgi .tga .tif .tiff .webp .xbm".split()
)


@dataclass
class Listing:
    """The pictures of one split, in their order.

    Args:
        root: folder that they lie in
        names: of their files, relative to it
        labels: the name of each one's class, None where it is not known
        order: of the classes' names, if the source has one
        sources: files that say which pictures there are, if it is not the folder
    """

    root: Path
    names: list[str]
    labels: Sequence[str | None]
    order: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def find(self, row: int) -> tuple[bytes | None, str | None]:
        """A picture's content, or the path of its file."""
        return None, self.names[row]

    def stamps(self) -> Iterator[tuple[str, int, int]]:
        """Name, size and time of every file, by which a change is noticed; -1 if it is missing."""
        for name in self.names:
            try:
                status = os.stat(self.root / name)
                yield name, status.st_size, status.st_mtime_ns
            except FileNotFoundError:  # which is said when it is to be read
                yield name, -1, -1

    def class_names(self) -> list[str]:
        """Of the classes, in the source's order, by number if all are numbers, or by alphabet."""
        return self.order or class_order(set(self.labels) - {None})


def class_order(names: set[str]) -> list[str]:
    """Classes by number if all are numbers, else by alphabet."""
    numbers = all(name.isascii() and name.isdecimal() for name in names)
    return sorted(names, key=(lambda name: (int(name), name)) if numbers else str)


def below(folder: Path) -> tuple[list[str], list[str]]:
    """The pictures below a folder, sorted, and the files that are none; hidden ones are neither.

    Links are followed, each folder is entered once.

    Returns:
        paths relative to the folder, with / between parts
    """
    pictures, others, seen = [], [], set()
    for where, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(where)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        start = Path(where).relative_to(folder)
        for name in files:
            if not name.startswith("."):
                kind = pictures if Path(name).suffix.lower() in SUFFIXES else others
                kind.append((start / name).as_posix())
    return sorted(pictures), sorted(others)


def pictures_in(folder: Path, path: str) -> list[str]:
    """The pictures below a folder; says how many other files are left out.

    Args:
        folder: where they are looked for
        path: as the user gave it, for messages

    Raises:
        ValueError: if there are none
    """
    pictures, others = below(folder)
    if not pictures:
        found = f"no picture in it, but {others[0]}" if others else "no picture in it"
        raise ValueError(f"--data.path={path}: {folder}: {found}")
    if others:
        named = f"{len(others)} files of other kinds are left out, such as {folder / others[0]}"
        rank_zero_info(f"note: --data.path={path}: {named}")
    return pictures


def class_folder(folder: Path, path: str) -> Listing:
    """Pictures in one subfolder a class, or all in the folder itself, without labels.

    Raises:
        ValueError: if there are none, or some in subfolders and some not
    """
    names = pictures_in(folder, path)
    loose = [name for name in names if "/" not in name]
    if len(loose) == len(names):
        return Listing(folder, names, [None] * len(names))
    if loose:
        raise ValueError(
            f"--data.path={path}: {folder / loose[0]} lies beside the folders of the classes: put "
            "it into one of them"
        )
    return Listing(folder, names, [name.partition("/")[0] for name in names])


def folder_splits(folder: Path, path: str) -> dict[str, Listing]:
    """The splits of a folder: `train`, `val` and `test`, as far as it has subfolders of them alone.

    Raises:
        ValueError: if one is empty, or two are of one split
    """
    inside = sorted(e.name for e in os.scandir(folder) if e.is_dir() and e.name[0] != ".")
    splits = {name: split_named(name) for name in inside}
    if not inside or None in splits.values():
        return {"train": class_folder(folder, path)}
    found: dict[str, Listing] = {}
    for name, split in splits.items():
        if PART_OF[split] in found:
            raise ValueError(f"--data.path={path} has several folders for {split}, such as {name}")
        found[PART_OF[split]] = class_folder(folder / name, path)
    return found


def unlabelled(folder: Path, path: str) -> Listing:
    """All pictures below a folder, whatever its subfolders mean."""
    names = pictures_in(folder, path)
    return Listing(folder, names, [None] * len(names))
