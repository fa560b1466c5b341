"""What all augmentations are: functions of pictures and random numbers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from datamodules.loading.keyed import uniforms


class Augmentation(ABC):
    """A random change of each picture; a subclass of your own is named by its class_path.

    It is a pure function of the pictures and of `draws` random numbers for each of them, which
    belong to the picture and the epoch.
    """

    draws: ClassVar[int]

    @abstractmethod
    def __call__(self, images: Tensor, random: Tensor) -> Tensor:
        """The changed pictures.

        Args:
            images: (batch, channels, height, width), uint8
            random: (batch, draws), uniform from 0 to below 1

        Returns:
            of the same shape, uint8
        """


class Changes:
    """Several augmentations, one after the other.

    Args:
        augmentations: in their order
        seed: of the random numbers
    """

    def __init__(self, augmentations: Sequence[Augmentation], seed: int) -> None:
        self.augmentations, self.seed = augmentations, seed

    def __call__(self, images: Tensor, rows: Tensor, epoch: int) -> Tensor:
        """The changed pictures of an epoch.

        Args:
            images: (batch, channels, height, width), uint8
            rows: their numbers, (batch,)
            epoch: from 0
        """
        sizes = [augmentation.draws for augmentation in self.augmentations]
        random = uniforms(rows, sum(sizes), self.seed, epoch).to(images.device).split(sizes, 1)
        for augmentation, numbers in zip(self.augmentations, random, strict=True):
            images = augmentation(images, numbers)
        return images


def as_bytes(values: Tensor) -> Tensor:
    """Floats as the nearest of 0 to 255, uint8; the floats are overwritten."""
    return values.round_().clamp_(0, 255).byte()


def each(values: Tensor) -> Tensor:
    """One number a picture, (batch,), as what is combined with pictures, (batch, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)
