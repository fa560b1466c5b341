"""Parquet and Arrow files on this machine, as the splits of a dataset. Needs no network."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

import pyarrow as pa
from datasets import Dataset, Features
from datasets.exceptions import DatasetsError

from datamodules.reading.row_groups import RowGroup, is_parquet, opened, row_groups

# Words in names by which `datasets` tells the splits of a folder.
WORDS = {
    "test": ("test", "testing", "eval", "evaluation"),
    "validation": ("validation", "valid", "dev", "val"),
    "train": ("train", "training"),
}
SUFFIXES = (".parquet", ".pq", ".arrow")
MAGIC = re.compile(r"[*?\[]")


def split_of(name: str) -> str:
    """The split that a file is of, by a word in its name or a folder's; without one, `train`."""
    words = re.split(r"[-._ 0-9/]+", name)
    return next((split for split in WORDS if not set(words).isdisjoint(WORDS[split])), "train")


def saved_files(folder: Path) -> dict[str, list[str]]:
    """The files of what `save_to_disk` wrote, by split; empty if the folder is no such thing.

    Raises:
        ValueError: if what it says of itself is damaged, or names files elsewhere
    """
    try:
        if (whole := folder / "dataset_dict.json").is_file():
            splits = json.loads(whole.read_text())["splits"]
            parts = {split: folder / own_name(split) for split in splits}
        else:
            parts = {"train": folder} if (folder / "state.json").is_file() else {}
        return {
            split: [
                str(part / own_name(file["filename"]))
                for file in json.loads((part / "state.json").read_text())["_data_files"]
            ]
            for split, part in parts.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        said = f"dataset_dict.json or state.json in it is damaged: {error}"
        raise ValueError(f"--data.path={folder}: {said}") from error


def own_name(name: str) -> str:
    """The name of a file, if it is one and no path.

    Raises:
        ValueError: if it leads elsewhere
    """
    if PureWindowsPath(name).name != name or name == "..":
        raise ValueError(f"{name} is not in the folder")
    return name


def local_files(path: str) -> dict[str, list[str]]:
    """The Parquet or Arrow files that a path, a pattern or a saved dataset is, by split.

    Returns:
        nothing if the path is a folder of another kind, or not on this machine

    Raises:
        FileNotFoundError: if there is no such file
        ValueError: if they are not all Parquet or all Arrow
    """
    here = Path(path).expanduser()
    if here.is_dir():
        return saved_files(here)
    if here.is_file():
        files = {"train": [str(here)]}
    elif MAGIC.search(path):
        parts = here.parts
        depth = next(place for place, part in enumerate(parts) if MAGIC.search(part))
        root, files = Path(*parts[:depth]), {}
        for file in sorted(root.glob(str(Path(*parts[depth:])))):
            if file.is_file():
                files.setdefault(split_of(str(file.relative_to(root))), []).append(str(file))
    else:
        files = {}
        local = path.startswith((".", "/", "~")) or path.count("/") > 1 or here.suffix in SUFFIXES
        if not local:
            return {}
    if not files:
        raise FileNotFoundError(f"--data.path={path}: no such file or folder")
    every = [file for of_split in files.values() for file in of_split]
    kinds = {is_parquet(file) or (None if file.endswith(".arrow") else file) for file in every}
    if kinds not in ({True}, {None}):
        odd = next((kind for kind in kinds if isinstance(kind, str)), "some files")
        raise ValueError(f"--data.path={path}: {odd}: not all .parquet, nor all .arrow")
    return files


def is_there(split: str, option: str, splits: Iterable[str]) -> None:
    """Raises ValueError if a split is not among those that there are."""
    if split not in splits:
        raise ValueError(f"{option}={split}: no such split; there are {', '.join(splits)}")


class Files:
    """Splits that are Parquet or Arrow files on this machine.

    Args:
        splits: the files of each split
        cache_dir: where Parquet files are kept as Arrow

    Attributes:
        commit: None; of the Hub, the commit
        folders: that images which are files may lie in: the one of the splits' files
    """

    commit = None

    def __init__(self, splits: dict[str, list[str]], cache_dir: str | None) -> None:
        self.splits, self.cache_dir = splits, cache_dir
        every = [Path(file).absolute().parent for files in splits.values() for file in files]
        self.folders = [Path(os.path.commonpath(every))]

    def tables(self, split: str | None) -> list[str]:
        """The Parquet or Arrow files of a split, none if there is no such split."""
        return self.splits.get(split, [])

    def groups(self, split: str) -> list[RowGroup]:
        """The row groups of a split, in order.

        Raises:
            ValueError: if a file is damaged
        """
        return row_groups(self.tables(split))

    def streamed(self, split: str, option: str) -> tuple[list[str], Features]:
        """The files of a split, and the types of their columns.

        Raises:
            ValueError: if there is no such split, or a file is damaged
        """
        is_there(split, option, self.splits)
        with opened(self.splits[split][0]) as content:
            return self.splits[split], Features.from_arrow_schema(content.schema)

    def mapped(self, split: str, option: str) -> Dataset:
        """The rows of a split.

        Raises:
            ValueError: if there is no such split, it has no rows, or a file is damaged
        """
        is_there(split, option, self.splits)
        files = self.splits[split]
        if not self.groups(
            split
        ):  # which opens them all: the library does not say which is damaged
            raise ValueError(f"{option}={split} has no rows")
        if is_parquet(files[0]):
            try:
                return Dataset.from_parquet(files, split=split, cache_dir=self.cache_dir)
            except (DatasetsError, OSError, ValueError) as error:
                raise ValueError(f"{option}={split}: {error.__cause__ or error}") from error
        tables = []
        for file in files:
            with opened(file) as content:
                tables.append(pa.Table.from_batches(content.groups, content.schema))
        # With a fingerprint, which otherwise would be computed from all rows.
        return Dataset(pa.concat_tables(tables), fingerprint=split)
