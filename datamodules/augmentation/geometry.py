"""Augmentations that move pixels: flips, shifts and crops."""

import math
from typing import ClassVar

import torch
from jsonargparse.typing import ClosedUnitInterval, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from datamodules.augmentation.changes import Augmentation, as_bytes, each


class Flip(Augmentation):
    """Mirrors pictures.

    Args:
        horizontal: share of the pictures of which left and right are swapped, 0 to 1
        vertical: share of the pictures of which top and bottom are swapped, 0 to 1
    """

    draws: ClassVar[int] = 2

    def __init__(
        self, horizontal: ClosedUnitInterval = 0.5, vertical: ClosedUnitInterval = 0.0
    ) -> None:
        self.shares = {-1: horizontal, -2: vertical}

    def __call__(self, images: Tensor, random: Tensor) -> Tensor:
        for (axis, share), drawn in zip(self.shares.items(), random.unbind(1), strict=True):
            if share:
                images = torch.where(each(drawn < share), images.flip(axis), images)
        return images


class Shift(Augmentation):
    """Moves pictures by whole pixels along each axis; what comes in is black.

    Args:
        pixels: largest distance, each way; all up to it are equally likely
    """

    draws: ClassVar[int] = 2

    def __init__(self, pixels: PositiveInt = 4) -> None:
        self.pixels = pixels

    def __call__(self, images: Tensor, random: Tensor) -> Tensor:
        *_, height, width = images.shape
        down, right = (random * (2 * self.pixels + 1)).long().unbind(1)
        windows = F.pad(images, (self.pixels,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        return windows[torch.arange(len(images), device=images.device), :, down, right]


class RandomResizedCrop(Augmentation):
    """Cuts a rectangle out of each picture and resizes it, bilinearly, to the picture's size.

    Szegedy et al., "Going deeper with convolutions" (2015), section 6,
    https://arxiv.org/abs/1409.4842. A rectangle that is longer than the picture is cut off at its
    edge, where torchvision draws again.

    Args:
        smallest: least share of the picture's area, above 0 to 1; up to all of it, equally likely
        stretch: largest ratio of the rectangle's sides, from 1; wide or high, equally likely

    Raises:
        ValueError: if there are no such rectangles
    """

    draws: ClassVar[int] = 4

    def __init__(self, smallest: float = 0.08, stretch: float = 4 / 3) -> None:
        if not 0 < smallest <= 1:
            raise ValueError(f"smallest={smallest}: a share above 0 and up to 1")
        if stretch < 1:
            raise ValueError(f"stretch={stretch}: a ratio from 1")
        self.smallest, self.stretch = smallest, stretch

    def rectangles(self, random: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
        """Left edge, upper edge, width and height of each, pixels, (batch,)."""
        area = (self.smallest + random[:, 0] * (1 - self.smallest)) * height * width
        ratio = ((2 * random[:, 1] - 1) * math.log(self.stretch)).exp()
        wide = (area * ratio).sqrt().clamp(1, width)
        high = (area / ratio).sqrt().clamp(1, height)
        return random[:, 2] * (width - wide), random[:, 3] * (height - high), wide, high

    def __call__(self, images: Tensor, random: Tensor) -> Tensor:
        *_, height, width = images.shape
        left, upper, wide, high = self.rectangles(random, height, width)
        across, along = sampled(left, wide, width), sampled(upper, high, height)
        shape = (-1, height, width)
        grid = torch.stack([across[:, None].expand(shape), along[:, :, None].expand(shape)], 3)
        floats = images.float()
        return as_bytes(F.grid_sample(floats, grid, padding_mode="border", align_corners=False))


def sampled(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where a rectangle's side is looked at to be resized to the picture's, for grid_sample.

    Args:
        start: of the side, pixels, (batch,)
        length: of the side, pixels, (batch,)
        size: of the picture, pixels

    Returns:
        (batch, size), -1 and 1 at the picture's edges
    """
    places = (torch.arange(size, device=start.device) + 0.5) / size
    pixels = start[:, None] + places * length[:, None]
    # Not beyond the centres of the rectangle's outermost pixels: nothing around it is seen.
    pixels = pixels.clamp(start[:, None] + 0.5, start[:, None] + length[:, None] - 0.5)
    return 2 * pixels / size - 1
