"""Random pictures in the shape of known ones: they take the same time, without a download."""

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.images import Images
from datamodules.loading.pictures import PictureTable
from datamodules.picture_data import PictureData

CLASSES = 10


def drawn(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Random bytes (rows, ...), and labels (rows,), 0 to 9, that can be learnt."""
    images = torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return images, images.flatten(1)[:, 0].long() % CLASSES


class RandomDigits(Images):
    """In the shape of MNIST: (1, 28, 28) bytes.

    Args:
        rows: to train on, and 100 for validation
        batch_size: pictures per batch
        seed: of the order
    """

    input_shape = (1, 28, 28)

    def __init__(
        self, rows: PositiveInt = 20_000, batch_size: PositiveInt = 128, seed: NonNegativeInt = 0
    ) -> None:
        super().__init__(batch_size, val_size=100, seed=seed)
        self.count = rows + 100

    def load(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        images, labels = drawn((self.count, 28, 28))
        return (images, labels), (images[:100], labels[:100])


class RandomColours(PictureData):
    """In the shape of CIFAR: (3, 32, 32) bytes; its arguments are those of RandomDigits."""

    input_shape = torch.Size((3, 32, 32))

    def __init__(
        self, rows: PositiveInt = 2_000, batch_size: PositiveInt = 128, seed: NonNegativeInt = 0
    ) -> None:
        super().__init__(batch_size, seed=seed)
        self.count = rows

    def setup(self, stage: str) -> None:
        if not self.tables:
            self.class_names = [str(label) for label in range(CLASSES)]
            images, labels = drawn((self.count, *self.input_shape))
            self.tables = {
                "train": PictureTable(images, labels),
                "val": PictureTable(images[:100], labels[:100]),
            }
