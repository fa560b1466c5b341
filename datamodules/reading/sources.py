"""Where a dataset's splits are: in files on this machine, or what `datasets` finds on the Hub."""

import re
from pathlib import Path

from datasets import Dataset, Features, load_dataset_builder
from datasets.config import HF_DATASETS_CACHE
from datasets.exceptions import DatasetsError
from huggingface_hub.constants import HF_HUB_CACHE

from datamodules.reading.cards import check_card
from datamodules.reading.local_files import SUFFIXES, Files, is_there, local_files
from datamodules.reading.row_groups import RowGroup, is_parquet, opened, row_groups


def is_commit(name: str | None) -> bool:
    """Whether this is the full hash of a commit."""
    return bool(re.fullmatch(r"[0-9a-f]{40}", name or ""))


def hub_folder(name: str) -> Path:
    """Where the files of a dataset of the Hub are kept."""
    return Path(HF_HUB_CACHE, f"datasets--{name.replace('/', '--')}")


class Found:
    """What `datasets` finds on the Hub, or in a folder.

    Args:
        path: name on the Hub, or folder
        name: of the configuration
        revision: on the Hub: a branch, a tag or a commit
        cache_dir: where the library keeps what it downloads and converts

    Raises:
        ValueError, OSError: if there is no such dataset, or the Hub cannot be reached

    Attributes:
        commit: of the Hub, 40 hexadecimal digits; None of a folder
        folders: that images which are files may lie in: the dataset's, and of unpacked archives
    """

    def __init__(
        self, path: str, name: str | None, revision: str | None, cache_dir: str | None
    ) -> None:
        folder = Path(path).expanduser()
        if folder.is_dir():
            check_card(folder)
        where = str(folder.resolve()) if folder.is_dir() else path
        self.path = path
        try:
            self.builder = load_dataset_builder(
                where, name=name, revision=revision, cache_dir=cache_dir
            )
        except ConnectionError as error:
            problem = "no such file or folder, and the Hub cannot be reached"
            raise ConnectionError(f"--data.path={path}: {problem}") from error
        except (DatasetsError, OSError, ValueError) as error:
            option = f"name={name}" if "onfig" in str(error) else f"path={path}"
            kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
            raise kind(f"--data.{option}: {error}") from error
        # Of a folder, the library's hash is shorter.
        self.commit = self.builder.hash if is_commit(self.builder.hash) else None
        # Without the Hub, it knows no files, but what of them is in its cache.
        self.files = self.builder.config.data_files or {}
        self.splits = [str(split) for split in self.files or self.builder.info.splits or {}]
        self.folders = [Path(cache_dir or HF_DATASETS_CACHE, "downloads")]  # unpacked archives
        self.folders.append(folder if folder.is_dir() else hub_folder(path))

    def tables(self, split: str | None) -> list[str]:
        """The Parquet or Arrow files of a split, none if there is no such split, or of others."""
        files = [str(file) for file in self.files.get(split, ())]
        return files if all(file.endswith(SUFFIXES) for file in files) else []

    def groups(self, split: str) -> list[RowGroup]:
        """The row groups of a split in order, as far as its files are Parquet or Arrow.

        Raises:
            ValueError: if a file is damaged
        """
        return row_groups(self.tables(split))

    def _prepare(self) -> None:
        """Downloads and converts all splits, unless the cache has them."""
        local = [file for files in self.files.values() for file in files if "://" not in file]
        row_groups(filter(is_parquet, local))  # the library does not say which is damaged
        try:
            self.builder.download_and_prepare()
        except (DatasetsError, OSError, ValueError) as error:
            raise ValueError(f"--data.path={self.path}: {error.__cause__ or error}") from error

    def streamed(self, split: str, option: str) -> tuple[list[str], Features]:
        """As that of `Files`.

        Raises:
            ValueError: if there is no such split, or it has files of another kind
        """
        is_there(split, option, self.splits)
        if not self.files:
            raise ValueError("--data.streaming=true reads from the Hub, which cannot be reached")
        files = list(self.files[split])
        if other := [file for file in files if not file.endswith(SUFFIXES)]:
            raise ValueError(
                f"--data.streaming=true reads Parquet or Arrow, not {Path(other[0]).name}; the Hub "
                "has most datasets as Parquet, too: --data.revision=refs/convert/parquet"
            )
        with opened(files[0]):  # which says what is wrong with it
            return files, self.builder.as_streaming_dataset(split).features

    def mapped(self, split: str, option: str) -> Dataset:
        """As that of `Files`.

        Raises:
            ValueError: if there is no such split, it has no rows, or it cannot be converted
        """
        is_there(split, option, self.splits)
        self._prepare()
        if not self.builder.info.splits[split].num_examples:
            raise ValueError(f"{option}={split} has no rows")
        return self.builder.as_dataset(split)


def source(
    path: str, name: str | None, revision: str | None, cache_dir: str | None
) -> Files | Found:
    """Where the splits of a dataset are; arguments and errors as for `Found`, `local_files`."""
    if files := local_files(path):
        return Files(files, cache_dir)
    return Found(path, name, revision, cache_dir)
