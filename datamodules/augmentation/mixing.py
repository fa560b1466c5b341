"""MixUp and CutMix: a picture together with another one, and a target that is partly each."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jsonargparse.typing import ClosedUnitInterval, PositiveFloat
from scipy.special import betaincinv
from torch import Tensor
from torch.nn import functional as F

from datamodules.augmentation.changes import as_bytes, each
from datamodules.loading.keyed import uniforms
from datamodules.loading.loader import Table
from datamodules.loading.missing import MISSING

MIXED = 1  # the key of the random numbers, beside those of augmentations


def beta(random: Tensor, alpha: float) -> Tensor:
    """Numbers of the distribution Beta(alpha, alpha), (batch,), from uniform ones."""
    quantiles = betaincinv(alpha, alpha, random.double().cpu().numpy())
    return torch.as_tensor(quantiles, dtype=random.dtype).to(random.device)


class Mix(ABC):
    """A way to put two pictures into one, given `draws` random numbers for each pair."""

    draws: ClassVar[int]

    @abstractmethod
    def __call__(self, images: Tensor, others: Tensor, random: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures that are partly the others.

        Args:
            images: (batch, channels, height, width), uint8
            others: the same
            random: (batch, draws), uniform from 0 to below 1

        Returns:
            the mixed pictures, uint8, and the share of each that is its own, (batch,)
        """


class MixUp(Mix):
    """A weighted mean of two pictures.

    Zhang et al., "mixup: Beyond empirical risk minimization" (2018), equation 2,
    https://arxiv.org/abs/1710.09412.

    Args:
        alpha: the weight is from Beta(alpha, alpha): below 1 mostly near 0 or 1, at 1 uniform
        probability: share of the pictures that are mixed, 0 to 1
    """

    draws: ClassVar[int] = 2

    def __init__(self, alpha: PositiveFloat = 0.2, probability: ClosedUnitInterval = 1.0) -> None:
        self.alpha, self.probability = alpha, probability

    def __call__(self, images: Tensor, others: Tensor, random: Tensor) -> tuple[Tensor, Tensor]:
        own = beta(random[:, 0], self.alpha)
        own = torch.where(random[:, 1] < self.probability, own, 1)
        return as_bytes(each(own) * images + each(1 - own) * others), own


class CutMix(Mix):
    """A rectangle of another picture, of the picture's own proportions, anywhere in it.

    Yun et al., "CutMix: Regularization strategy to train strong classifiers with localizable
    features" (2019), equations 1 and 2, https://arxiv.org/abs/1905.04899. As in the authors' code,
    the centre is uniform, and what is outside of the picture is cut off and does not count.

    Args:
        alpha: the share that stays is from Beta(alpha, alpha), before it is cut off
        probability: share of the pictures that are mixed, 0 to 1
    """

    draws: ClassVar[int] = 4

    def __init__(self, alpha: PositiveFloat = 1.0, probability: ClosedUnitInterval = 1.0) -> None:
        self.alpha, self.probability = alpha, probability

    def __call__(self, images: Tensor, others: Tensor, random: Tensor) -> tuple[Tensor, Tensor]:
        side = (1 - beta(random[:, 0], self.alpha)).sqrt()
        side = torch.where(random[:, 1] < self.probability, side, 0)
        down, across = (
            within((random[:, number] * size).floor(), (side * size).floor(), size)
            for number, size in ((2, images.shape[2]), (3, images.shape[3]))
        )
        cut = down.unsqueeze(2) & across.unsqueeze(1)
        return torch.where(cut.unsqueeze(1), others, images), 1 - cut.float().mean((1, 2))


def within(centre: Tensor, length: Tensor, size: int) -> Tensor:
    """Which of `size` pixels in a line are in a part of it, (batch, size), bool.

    Args:
        centre: pixel, (batch,)
        length: pixels, (batch,)
        size: of the line
    """
    first = centre - (length / 2).floor()
    places = torch.arange(size, device=centre.device)
    return (places >= first[:, None]) & (places < (first + length)[:, None])


class Mixed(Table):
    """A table of pictures, each of which is mixed with any other one, and soft targets.

    The other one, and how they are mixed, belong to the picture and the epoch, as augmentations do.
    The papers draw both within a batch, which would be others on another number of processes.

    Args:
        table: of pictures and class numbers
        mix: how
        classes: how many there are
        seed: of the random numbers
    """

    def __init__(self, table: Table, mix: Mix, classes: int, seed: int) -> None:
        self.table, self.mix, self.classes, self.seed = table, mix, classes, seed

    def __len__(self) -> int:
        return len(self.table)

    def tensors(self) -> dict[str, Tensor]:
        """Those of the table."""
        return self.table.tensors()

    def to_device(self, device: torch.device) -> None:
        """Moves the table."""
        self.table.to_device(device)

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Pictures, and targets (batch, classes): shares, or NaN where either label is missing."""
        random = uniforms(rows, self.mix.draws + 1, self.seed, epoch, MIXED)
        partners = (random[:, 0].double() * len(self)).long()
        (images, labels), (others, theirs) = (
            self.table.gather(numbers, epoch) for numbers in (rows, partners)
        )
        mixed, own = self.mix(images, others, random[:, 1:])
        known = (labels != MISSING) & (theirs != MISSING)
        one, two = (
            F.one_hot(torch.where(known, numbers, 0), self.classes) for numbers in (labels, theirs)
        )
        own = torch.where(known, own, torch.nan).unsqueeze(1)
        return mixed, own * one + (1 - own) * two
