"""Pictures of one size with a class each: what data sets of them share."""

from typing import ClassVar

import torch
from torch import Tensor

from datamodules.loading.in_memory import InMemory
from datamodules.loading.loader import Loader


class PictureData(InMemory):
    """Pictures of one size, grey or in colours, as bytes that are scaled to [0, 1].

    A subclass fills `tables` with a `PictureTable` for each split in `setup`.

    Args:
        batch_size: pictures per batch, on each process
        seed: of the order of the training pictures

    Attributes:
        class_names: of the classes, by their numbers; None if there are no labels
        input_shape: (channels, height, width)
    """

    white: ClassVar[float] = 255.0
    class_names: list[str] | None = None
    input_shape: torch.Size

    def __init__(self, batch_size: int, seed: int) -> None:
        super().__init__(batch_size, seed)

    @property
    def classes(self) -> int | None:
        """How many classes there are; None if there are no labels."""
        return self.class_names and len(self.class_names)

    def scale(self, inputs: Tensor) -> Tensor:
        """From bytes to 0 to 1, in the type of the network's weights."""
        return super().scale(inputs).div_(self.white)

    def val_dataloader(self) -> Loader | list[Loader]:
        return self._loader("val") if "val" in self.tables else []
