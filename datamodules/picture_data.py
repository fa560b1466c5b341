"""Pictures of one size with a class each: what data sets of them share."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch

# Set by LightningCLI while it makes the data; Lightning has no public name for it.
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from torch import Tensor

from datamodules.augmentation.changes import Augmentation, Changes
from datamodules.augmentation.mixing import Mix, Mixed
from datamodules.images import LARGEST_COLUMN
from datamodules.loading.in_memory import InMemory
from datamodules.loading.loader import Loader
from datamodules.loading.pictures import PictureTable
from datamodules.reading.classes import Classes


class PictureData(InMemory):
    """Pictures of one size, grey or in colours, as bytes that are scaled to [0, 1].

    A subclass fills `tables` with a `PictureTable` for each split in `setup`.

    Args:
        batch_size: pictures per batch, on each process
        augment: random changes of the training pictures, in their order
        mix: how training pictures are mixed with others, which makes their targets soft
        seed: of the order, the changes and the mixing of the training pictures

    Raises:
        ValueError: if there are no labels to mix

    Attributes:
        class_names: of the classes, by their numbers; None if there are no labels
        input_shape: (channels, height, width)
    """

    white: ClassVar[float] = 255.0
    tables: dict[str, PictureTable]
    class_names: list[str] | None = None
    id = "file"  # what tells pictures apart: the column's name in predictions
    input_shape: torch.Size

    def __init__(
        self,
        batch_size: int,
        augment: Sequence[Augmentation] | None = None,
        mix: Mix | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        self.augment, self.mix = list(augment or ()), mix
        for name in ("augment", "mix"):  # made in Python: checkpoints hold plain values
            if getattr(self, name) and _given_hyperparameters.get() is None:
                self.hparams.pop(name, None)

    @property
    def classes(self) -> int | None:
        """How many classes there are; None if there are no labels."""
        return self.class_names and len(self.class_names)

    def check_classes(self, classes: Classes) -> None:
        """Refuses pictures without labels, and more classes than a network knows.

        Raises:
            ValueError: if there are no labels, or more classes
        """
        name = f"--data={type(self).__name__}"
        if self.classes is None:
            raise ValueError(f"{name} has pictures without labels: give each class a folder")
        classes.check_room(self.classes, name)

    def scale(self, inputs: Tensor) -> Tensor:
        """From bytes to 0 to 1, in the type of the network's weights."""
        return super().scale(inputs).div_(self.white)

    def compute_column(
        self,
        function: Callable[[Tensor], Tensor],
        dtype: torch.dtype,
        splits: Sequence[str] = ("train", "val"),
    ) -> list[str]:
        """Appends function(inputs) to the batches of splits whose pictures stay as they are.

        Does so only if the columns take no more than `LARGEST_COLUMN` bytes.

        Args:
            function: from inputs (batch, channels, height, width), scaled and on the trainer's
                device, to values (batch, n)
            dtype: that the values are kept in, where the table lies
            splits: those whose batches become (inputs, targets, values), unless they change

        Returns:
            the splits that do
        """
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

        def from_stored(pictures: Tensor) -> Tensor:
            return function(self.scale(pictures.to(device)))

        changed = {"train"} if self.augment or self.mix else set()
        tables = {
            split: self.tables[split]
            for split in splits
            if self.tables.get(split) and split not in changed
        }
        if not tables:
            return []
        table = next(iter(tables.values()))
        width = from_stored(table.pixels.index_select(0, table.rows[:2])).shape[1]
        if sum(map(len, tables.values())) * width * dtype.itemsize > LARGEST_COLUMN:
            return []
        for table in tables.values():
            table.compute_column(from_stored, dtype, self.batch_size)
        return list(tables)

    def drop_columns(self) -> None:
        """Makes the batches (inputs, targets) again."""
        for table in self.tables.values():
            table.column = None

    def _table(self, split: str) -> PictureTable:
        if split not in self.tables:
            raise ValueError(f"--data has no pictures for {split}")
        return self.tables[split]

    def _loader(self, split: str, shuffle: bool = False) -> Loader:
        return self._batches(self._table(split), shuffle)

    def train_dataloader(self) -> Loader:
        table = self._table("train")
        table.change = Changes(self.augment, self.seed) if self.augment else None
        if self.mix is not None:
            if self.classes is None:
                raise ValueError("--data.mix mixes labels, too, and there are none")
            table = Mixed(table, self.mix, self.classes, self.seed)
        return self._batches(table, shuffle=self._shuffles)
