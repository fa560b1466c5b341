"""TrivialAugment: one change of fourteen, of a random strength."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from datamodules.augmentation import colour, operations
from datamodules.augmentation.changes import Augmentation

STRENGTHS = 31  # from none to the largest


class Choice(NamedTuple):
    """A change of pictures (batch, channels, height, width) by a strength each, (batch,).

    Attributes:
        change: how
        largest: strength
        signed: either way, as often
        plain: what is added to the strength
    """

    change: Callable[[Tensor, Tensor], Tensor]
    largest: float = 0.0
    signed: bool = False
    plain: float = 0.0


def same(images: Tensor, strength: Tensor) -> Tensor:
    """The pictures as they are."""
    return images


# The paper's wide space, table 6, with torchvision's bounds.
CHOICES = (
    Choice(same),
    Choice(operations.shear_across, 0.99, True),
    Choice(operations.shear_down, 0.99, True),
    Choice(operations.move_across, 32, True),
    Choice(operations.move_down, 32, True),
    Choice(operations.rotate, 135, True),
    Choice(colour.brightness, 0.99, True, 1.0),
    Choice(colour.saturation, 0.99, True, 1.0),
    Choice(colour.contrast, 0.99, True, 1.0),
    Choice(colour.sharpness, 0.99, True, 1.0),
    Choice(operations.posterize, 6),
    Choice(operations.solarize, 255),
    Choice(operations.autocontrast),
    Choice(operations.equalize),
)


class TrivialAugment(Augmentation):
    """One change of each picture, of fourteen, with one of 31 strengths; all are equally likely.

    Müller & Hutter, "TrivialAugment: Tuning-free yet state-of-the-art data augmentation" (2021),
    https://arxiv.org/abs/2103.10158, in its wide space. Nothing is to be tuned.
    """

    draws: ClassVar[int] = 3

    def __call__(self, images: Tensor, random: Tensor) -> Tensor:
        chosen = (random[:, 0] * len(CHOICES)).long()
        share = (random[:, 1] * STRENGTHS).floor() / (STRENGTHS - 1)
        sign = torch.where(random[:, 2] < 0.5, 1.0, -1.0)
        changed = images.clone()
        for number, choice in enumerate(CHOICES):
            rows = (chosen == number).nonzero().squeeze(1)
            if len(rows):
                strength = share[rows] * choice.largest * (sign[rows] if choice.signed else 1)
                changed[rows] = choice.change(images[rows], choice.plain + strength)
        return changed
