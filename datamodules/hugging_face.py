"""Datasets of the Hugging Face Hub, and Parquet and Arrow files, mapped into memory or streamed."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.loading.in_memory import InMemory
from datamodules.loading.loader import Loader, data_rank
from datamodules.loading.mapped import MappedRows
from datamodules.loading.splits import hold_out
from datamodules.reading.classes import Classes

if TYPE_CHECKING:  # the extra: importing it takes a second
    from datasets import Features

    from datamodules.loading.streaming import StreamLoader
    from datamodules.reading.features import Columns
    from datamodules.reading.local_files import Files
    from datamodules.reading.row_groups import RowGroup
    from datamodules.reading.sources import Found

WHITE = 255.0


class HuggingFace(InMemory):
    """Images or numbers with one target, from the Hugging Face Hub or Parquet or Arrow files.

    Needs `pip install -e '.[huggingface]'`. Inputs are images, scaled to [0, 1], or numbers;
    targets are class labels, integers or floats. The files are mapped into memory (what is not
    Arrow yet is converted once) and shuffled as a whole; or, with `streaming`, read in passing: the
    order of files and row groups is shuffled, and rows in blocks. Then the order is a pure
    function of seed, epoch, number of processes, `batch_size`, `block` and `streams`, but not of
    `num_workers`, and a run that stopped within an epoch goes on with the same of them.

    Args:
        path: name of a dataset on the Hub; or a folder, a Parquet or Arrow file, or a pattern of
            files, as 'shards/*.parquet', whose splits are told by words in their names
        inputs: the column of images or numbers, or several columns of numbers
        target: the column of labels or numbers
        name: of the dataset's configuration, if it has several
        revision: on the Hub: a branch, a tag or a commit
        train_split: name of the split that is trained on
        val_split: name of the split for validation; by default `val_size` of the training split,
            or none with `streaming`
        test_split: name of the split for testing
        val_size: held out for validation where there is no `val_split`: a number of rows, or a
            share of them below 1; 0: no validation
        streaming: read the files in passing, also from the Hub; they must be Parquet or Arrow
        batch_size: rows per batch, on each process
        num_workers: with `streaming`: processes that read and decode, 0 for the one that trains; a
            divisor of `streams`
        block: with `streaming`: consecutive rows that are shuffled together
        streams: with `streaming`: places in the epoch's order from which batches are taken in turn
        image_size: the largest square in an image's centre is resized to so many pixels each way
        image_mode: images are converted to grey (L) or to colours (RGB), those of 16 bits to 8, and
            those with transparency onto white
        cache_dir: folder of what is downloaded and converted; by default the library's own
        split_seed: decides which rows are held out for validation
        seed: of the order

    Raises:
        ValueError: if the package is not installed
    """

    def __init__(
        self,
        path: str,
        inputs: list[str] | str,
        target: str,
        name: str | None = None,
        revision: str | None = None,
        train_split: str = "train",
        val_split: str | None = None,
        test_split: str = "test",
        val_size: NonNegativeFloat = 0.1,
        streaming: bool = False,
        batch_size: PositiveInt = 128,
        num_workers: NonNegativeInt = 0,
        block: PositiveInt = 1000,
        streams: PositiveInt = 4,
        image_size: PositiveInt | None = None,
        image_mode: Literal["L", "RGB"] | None = None,
        cache_dir: str | None = None,
        split_seed: NonNegativeInt = 0,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        if find_spec("datasets") is None:
            raise ValueError("--data=HuggingFace needs: pip install -e '.[huggingface]'")
        self.path, self.name, self.revision, self.cache_dir = path, name, revision, cache_dir
        self.inputs, self.target = inputs, target
        self.splits = {"train": train_split, "val": val_split, "test": test_split}
        self.val_size, self.split_seed = val_size, split_seed
        self.streaming, self.num_workers, self.block = streaming, num_workers, block
        self.streams, self.image_size, self.image_mode = streams, image_size, image_mode
        self.files: dict[str, tuple[list[RowGroup], Columns]] = {}
        self.classes: Classes | None = None  # that a network knows
        self.facts: dict[str, str] = {}  # for run.json: of data from the Hub, its `commit`

    def _source(self) -> "Files | Found":
        from datamodules.reading.sources import source

        found = source(self.path, self.name, self.revision, self.cache_dir)
        self.facts = {"commit": found.commit} if found.commit else {}
        return found

    @property
    def is_here(self) -> bool:
        from datamodules.reading.local_files import local_files

        return Path(self.path).expanduser().is_dir() or bool(local_files(self.path))

    def prepare_data(self) -> None:
        if not self.streaming:
            source = self._source()
            for part, split in self.splits.items():
                if split in source.splits:
                    source.mapped(split, f"--data.{part}_split")

    def setup(self, stage: str) -> None:
        from datamodules.reading.labels import check_labels

        source = self._source()
        if stage in ("test", "predict"):
            parts = ["test"]
        else:
            parts = ["val"] if stage == "validate" and self.splits["val"] else ["train", "val"]
        # The first file that is trained on is the one that all others are to agree with.
        files = chain(*(source.tables(self.splits[part]) for part in parts))
        inputs = [self.inputs] if isinstance(self.inputs, str) else self.inputs
        check_labels([*source.tables(self.splits["train"])[:1], *files], [*inputs, self.target])
        for part in parts:
            if self.splits[part] is not None and part not in self.tables | self.files:
                (self._stream if self.streaming else self._map)(source, part)
        if "train" in self.tables and "val" not in self.tables and self.val_size:
            whole = self.tables["train"]
            rows = hold_out(whole.rows, self.val_size, "--data.val_size", self.split_seed)
            for part, of_part in zip(("train", "val"), rows, strict=True):
                self.tables[part] = MappedRows(whole.dataset, whole.columns, of_part)

    @property
    def numeric_target(self) -> str | None:
        """The option by which the target is a number and no label, if it is one; after `setup`."""
        is_float = any(columns.has_numbers for columns in self._all_columns())
        return f"--data.target={self.target}" if is_float else None

    @property
    def class_count(self) -> int | None:
        """How many classes a column of labels names, if the target is one; after `setup`."""
        counts = [columns.classes.count for columns in self._all_columns() if columns.has_labels]
        return max(counts, default=None)

    def _all_columns(self) -> "list[Columns]":
        mapped = [table.columns for table in self.tables.values()]
        return [*mapped, *(columns for _, columns in self.files.values())]

    def check_classes(self, classes: Classes) -> None:
        """Refuses labels that are none of the classes: now, or with `streaming` as they are read.

        Raises:
            ValueError: if there are more classes, or with the file and row of the first such label
        """
        self.classes = classes
        for columns in self._all_columns():
            columns.limit(classes)
        for table in self.tables.values():
            table.check_targets()

    def _columns(
        self, source: "Files | Found", features: "Features", groups: "Callable[[], list[RowGroup]]"
    ) -> "Columns":
        from datamodules.reading.features import Columns
        from datamodules.reading.row_groups import Origins

        columns, image = (features, self.inputs, self.target), (self.image_size, self.image_mode)
        made = Columns(*columns, *image, source.folders, Origins(groups))
        made.limit(self.classes)
        return made

    def _map(self, source: "Files | Found", part: str) -> None:
        dataset = source.mapped(self.splits[part], f"--data.{part}_split")
        groups = partial(source.groups, self.splits[part])
        columns = self._columns(source, dataset.features, groups)
        self.tables[part] = table = MappedRows(dataset, columns, torch.arange(len(dataset)))
        self.input_shape = table.gather(torch.arange(1), 0)[0].shape[1:]

    def _stream(self, source: "Files | Found", part: str) -> None:
        from datamodules.reading.row_groups import Part, read, row_groups

        files, features = source.streamed(self.splits[part], f"--data.{part}_split")
        groups = row_groups(files)
        columns = self._columns(source, features, partial(list, groups))
        if not groups:
            raise ValueError(f"--data.{part}_split={self.splits[part]} has no rows")
        self.files[part] = groups, columns
        # Now, so that all images, in every worker, are of the first one's shape.
        *_, first = next(read([Part(groups[0], 0, 1)], columns.names, 1))
        self.input_shape = columns.tensors(columns.cast(first), [0])[0].shape[1:]

    def scale(self, inputs: Tensor) -> Tensor:
        """Images from 0 to 255 to 0 to 1, numbers as they are, in the type of the weights."""
        scaled = super().scale(inputs)
        return scaled.div_(WHITE) if inputs.dtype == torch.uint8 else scaled

    def on_after_batch_transfer(
        self, batch: tuple[Tensor, ...], dataloader_idx: int
    ) -> tuple[Tensor, ...]:
        inputs, targets = super().on_after_batch_transfer(batch, dataloader_idx)
        return inputs, targets.to(inputs.dtype) if targets.is_floating_point() else targets

    def _loader(self, split: str, shuffle: bool = False) -> "Loader | StreamLoader":
        if not self.streaming:
            return super()._loader(split, shuffle)
        from datamodules.loading.streaming import StreamLoader
        from datamodules.loading.streams import Streams

        rank, world_size = data_rank(self.trainer)
        streams = Streams(
            *self.files[split],
            self.batch_size,
            shuffle=shuffle,
            block=self.block,
            count=self.streams,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )
        return StreamLoader(streams, self.num_workers)

    def val_dataloader(self) -> "Loader | StreamLoader | list[Loader]":
        return self._loader("val") if "val" in self.tables | self.files else []
