"""What datamodules whose splits are tables in memory share: loaders, and the type of the inputs."""

from abc import ABC, abstractmethod
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.loading.data_module import DataModule
from datamodules.loading.loader import Loader, Table, data_rank, place
from datamodules.loading.missing import check_known
from datamodules.reading.classes import Classes


class InMemory(DataModule, ABC):
    """A table for each split, drawn from by the shared loader.

    A subclass fills `tables` with `train`, `val` and `test` in `setup`, which may be called again,
    and may say how stored inputs become what the network sees (`scale`), how many classes there are
    (`class_count`), and where a row comes from (`origin`).

    Args:
        batch_size: rows per batch, on each process
        seed: of the order of the training rows
    """

    loader: ClassVar[type[Loader]] = Loader
    class_count: int | None = None  # None: not known, or the target is no label

    def __init__(self, batch_size: int, seed: int) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.batch_size, self.seed = batch_size, seed
        self.tables: dict[str, Table] = {}

    @abstractmethod
    def setup(self, stage: str) -> None: ...

    def origin(self, split: str, row: int) -> str:
        """Where a row of a split's table comes from, for messages."""
        return f"--data={type(self).__name__}: {split} row {row}"

    def check_classes(self, classes: Classes) -> None:
        """Refuses labels that are none of the classes; to be called after `setup`.

        Tables without a tensor `targets` are left alone, and so is what is marked as missing.

        Raises:
            ValueError: if there are more classes, or with the first label that is none of them
        """
        if self.class_count is not None:
            classes.check_room(self.class_count, f"--data={type(self).__name__}")
        for split, table in self.tables.items():
            if hasattr(table, "targets"):
                check_known(table.targets, classes, partial(self.origin, split))

    def scale(self, inputs: Tensor) -> Tensor:
        """Stored inputs, in the type of the network's weights."""
        return inputs.to(self.trainer.lightning_module.dtype if self.trainer else torch.float32)

    def on_after_batch_transfer(
        self, batch: tuple[Tensor, ...], dataloader_idx: int
    ) -> tuple[Tensor, ...]:
        # After the transfer, so that a GPU receives bytes and not floats.
        inputs, *columns = batch
        return self.scale(inputs), *columns

    def _loader(self, split: str, shuffle: bool = False) -> Loader:
        return self._batches(self.tables[split], shuffle)

    def _batches(self, table: Table, shuffle: bool = False) -> Loader:
        rank, world_size = data_rank(self.trainer)
        place(table, self.trainer)
        return self.loader(
            table,
            self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )

    def train_dataloader(self) -> Loader:
        return self._loader("train", shuffle=self._shuffles)

    @property
    def _shuffles(self) -> bool:
        # Lightning can turn shuffling off only in loaders of its own kind.
        return not (self.trainer and self.trainer.overfit_batches)

    def val_dataloader(self) -> Loader | list[Loader]:
        return self._loader("val") if "val" in self.tables else []

    def test_dataloader(self) -> Loader:
        return self._loader("test")

    def predict_dataloader(self) -> Loader:
        return self._loader("test")
