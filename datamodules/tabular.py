"""Rows of numbers that fit in memory: splits, standardisation, and many splits at once."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Literal

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.loading.data_module import DataModule
from datamodules.loading.folds import check_fold, fold_rows
from datamodules.loading.joined import JoinedRows, Rows
from datamodules.loading.loader import Loader, data_rank, place
from datamodules.loading.splits import Scale, Share, Split, hold_out

__all__ = ["JoinedRows", "Rows", "Share", "Split", "TabularData"]

Part = Literal["train", "val", "test"]


class TabularData(DataModule, ABC):
    """Rows of numbers with one target each, split into train, val and test and standardised.

    A subclass says where they come from (`load`), and may say which are for what (`split_rows`).
    A batch is (inputs (batch, features), targets (batch,)), in the type of the network's weights.

    Args:
        batch_size: rows per batch, on each process; `full`: all training rows in each batch, in
            stored order, shared among the processes
        val_size: share of the rows that are not for testing that is for validation, from 0 to
            below 1, rounded to whole rows; 0: no validation
        test_size: share of all rows that is for testing, from 0 to below 1, rounded to whole rows
        split: number of the random split
        standardize: shift and scale each input and the target to mean 0 and standard deviation 1
            on the training rows
        reshuffle: a new order in every epoch; otherwise that of the first epoch in all
        seed: of the order
        folds: parts that all rows are cut into, one of them for testing in place of `test_size`
        fold: number of the part that is for testing
        repeat: number of the random cutting
    """

    def __init__(
        self,
        batch_size: PositiveInt | Literal["full"] = 64,
        val_size: Share = 0.2,
        test_size: Share = 0.2,
        split: NonNegativeInt = 0,
        standardize: bool = True,
        reshuffle: bool = True,
        seed: NonNegativeInt = 0,
        folds: PositiveInt | None = None,
        fold: NonNegativeInt = 0,
        repeat: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        check_fold(folds, fold, repeat)
        self.batch_size, self.val_size, self.test_size = batch_size, val_size, test_size
        self.split, self.standardize = split, standardize
        self.reshuffle, self.seed = reshuffle, seed
        self.folds, self.fold, self.repeat = folds, fold, repeat
        self.feature_names: list[str] | None = None
        self.target_name: str | None = None
        self.class_names: list[str] | None = None
        self.members: list[tuple[int, int]] = []
        self.period: int | None = None
        self.target_scale: Tensor | None = None
        self._splits: dict[int, Split] = {}
        self._cast: dict[tuple[int, str, torch.dtype], Rows] = {}

    @abstractmethod
    def load(self) -> tuple[Tensor, Tensor]:
        """Reads the data: inputs (rows, features) and targets (rows,), both float64."""

    @property
    def numeric_target(self) -> str | None:
        """The option by which the target is a number and no label, if it is."""
        return None if self.class_names else f"--data={type(self).__name__}"

    @cached_property
    def examples(self) -> tuple[Tensor, Tensor]:
        """What `load` returns, read once."""
        return self.load()

    @property
    def targets(self) -> Tensor:
        """Of all rows: (rows,) or (rows, targets), float64; or class numbers, (rows,), int64."""
        return self.examples[1]

    @property
    def target_names(self) -> list[str] | None:
        """Of the columns of the targets."""
        return self.target_name and [self.target_name]

    @property
    def classes(self) -> int | None:
        """How many classes there are; None if the target is a number."""
        return self.class_names and len(self.class_names)

    def encode(self, split: int, train: Tensor) -> tuple[Tensor, Scale]:
        """All rows' inputs, (rows, features), float64, and how they are standardised.

        Args:
            split: number of the split
            train: numbers of its training rows; nothing is learned from others
        """
        inputs, targets = self.examples
        return inputs, Scale.of(inputs[train], targets[train], inputs.shape[1], self.standardize)

    def split_rows(self, rows: int, split: int) -> tuple[Tensor, Tensor, Tensor]:
        """The numbers of the rows for train, val and test, of `rows` in total."""
        rest, test = hold_out(torch.arange(rows), self.test_size, "--data.test_size", split, 1)
        train, val = hold_out(rest, self.val_size, "--data.val_size", split, 2)
        return train, val, test

    def rows_of(self, split: int) -> tuple[Tensor, Tensor, Tensor]:
        """The numbers of the rows for train, val and test: of `split_rows`, or of a fold."""
        rows = len(self.targets)
        if self.folds is None:
            return self.split_rows(rows, split)
        rest, test = fold_rows(rows, self.folds, self.fold, split + self.repeat)
        key = (split + self.repeat, 2, self.fold)
        train, val = hold_out(rest, self.val_size, "--data.val_size", *key)
        return train, val, test

    def splits(self, split: int) -> Split:
        """One split, in float64, computed once."""
        if split not in self._splits:
            train, val, test = self.rows_of(split)
            inputs, scale = self.encode(split, train)
            rows = scale.rows(inputs, self.targets)
            self._splits[split] = Split(*(rows[part] for part in (train, val, test)), **vars(scale))
        return self._splits[split]

    def setup(self, stage: str) -> None:
        split = self.splits(self.split)
        self.input_shape = split.train.inputs.shape[1:]
        self.numbers = self.input_shape[0]
        self.input_mean, self.input_std = split.input_mean, split.input_std
        self.target_mean, self.target_std = split.target_mean, split.target_std

    def training_inputs(self) -> Tensor:
        """The inputs of all training rows, as batches have them, (rows, features), float64."""
        return self.splits(self.split).train.inputs

    def join(self, members: list[tuple[int, int]], period: int | None = None) -> None:
        """From now on a batch holds one stream for each member, as `JoinedRows` gives them.

        `target_scale` becomes the mean and standard deviation of each stream's target, (streams,
        2), float64.

        Args:
            members: the split of each stream, and the seed of its order
            period: epochs after which the orders start anew, never if not given
        """
        if self.targets.ndim > 1 or self.class_names:
            raise ValueError("--data.target: several streams are of one number, no class")
        self.members, self.period = [(split, seed) for split, seed in members], period
        scales = [self.splits(split) for split, _ in members]
        self.target_scale = torch.tensor(
            [(split.target_mean, split.target_std) for split in scales], dtype=torch.float64
        )

    def part(self, part: Part, split: int) -> Rows:
        """The rows of a part of a split, in float64."""
        return getattr(self.splits(split), part)

    def _rows(self, split: int, part: Part, dtype: torch.dtype) -> Rows:
        key = (split, part, dtype)
        if key not in self._cast:
            self._cast[key] = self.part(part, split).to(dtype)
        return self._cast[key]

    @property
    def dtype(self) -> torch.dtype:
        """Of the network's weights, and so of the batches' floats."""
        return self.trainer.lightning_module.dtype if self.trainer else torch.float32

    def _table(self, part: Part, shuffle: bool) -> Rows | JoinedRows:
        dtype = self.dtype
        if not self.members:
            return self._rows(self.split, part, dtype)
        streams = [self._rows(split, part, dtype) for split, _ in self.members]
        seeds = [seed for _, seed in self.members] if shuffle else None
        return JoinedRows(streams, seeds, self.period if self.reshuffle else 1)

    def _loader(self, part: Part, table: Rows | None = None) -> Loader:
        rank, world_size = data_rank(self.trainer)
        full = self.batch_size == "full"
        # Lightning can turn shuffling off only in loaders of its own kind.
        overfit = self.trainer and self.trainer.overfit_batches
        shuffle = part == "train" and not full and not overfit
        table = self._table(part, shuffle) if table is None else table
        if not len(table):
            raise ValueError(f"--data.{part}_size=0: there are no rows for this")
        place(table, self.trainer)
        return Loader(
            table,
            -(-len(table) // world_size) if full else self.batch_size,
            shuffle=shuffle and not self.members,
            drop_last=shuffle,
            seed=self.seed,
            period=None if self.reshuffle else 1,
            rank=rank,
            world_size=world_size,
        )

    def train_dataloader(self) -> Loader:
        return self._loader("train")

    def val_dataloader(self) -> Loader | list[Loader]:
        split = self.members[0][0] if self.members else self.split
        return self._loader("val") if len(self.part("val", split)) else []

    def test_dataloader(self) -> Loader:
        return self._loader("test")

    def predict_dataloader(self) -> Loader:
        return self._loader("test")
