"""What TrivialAugment and its kin choose from, as Pillow defines it, on batches.

All are functions of pictures (batch, channels, height, width) uint8 and a strength each, (batch,).
"""

import math

import torch
from torch import Tensor

from datamodules.augmentation.changes import each

Row = tuple[Tensor | float, Tensor | float, Tensor | float]


def warp(images: Tensor, across: Row, down: Row) -> Tensor:
    """Moves the nearest pixels; what comes from outside is black.

    Args:
        images: (batch, channels, height, width)
        across: a, b, c, numbers or (batch,): a pixel at (x, y) comes from a x + b y + c
        down: the same for y
    """
    *_, height, width = images.shape
    y = torch.arange(height, device=images.device).view(1, -1, 1) + 0.5
    x = torch.arange(width, device=images.device).view(1, 1, -1) + 0.5

    def source(row: Row) -> Tensor:
        a, b, c = (each(part)[:, 0] if isinstance(part, Tensor) else part for part in row)
        return (a * x + b * y + c).floor().long().expand(len(images), height, width)

    right, lower = source(across), source(down)
    inside = (right >= 0) & (right < width) & (lower >= 0) & (lower < height)
    places = torch.where(inside, lower * width + right, 0).flatten(1).unsqueeze(1)
    found = images.flatten(2).gather(2, places.expand(-1, images.shape[1], -1))
    return (found * inside.flatten(1).unsqueeze(1)).view_as(images)


def shear_across(images: Tensor, strength: Tensor) -> Tensor:
    """Moves each row in proportion to its distance from the top."""
    return warp(images, (1.0, strength, 0.0), (0.0, 1.0, 0.0))


def shear_down(images: Tensor, strength: Tensor) -> Tensor:
    """Moves each column in proportion to its distance from the left."""
    return warp(images, (1.0, 0.0, 0.0), (strength, 1.0, 0.0))


def move_across(images: Tensor, strength: Tensor) -> Tensor:
    """Moves to the left by whole pixels."""
    return warp(images, (1.0, 0.0, strength.trunc()), (0.0, 1.0, 0.0))


def move_down(images: Tensor, strength: Tensor) -> Tensor:
    """Moves upwards by whole pixels."""
    return warp(images, (1.0, 0.0, 0.0), (0.0, 1.0, strength.trunc()))


def rotate(images: Tensor, strength: Tensor) -> Tensor:
    """Turns around the centre, counterclockwise, by degrees."""
    *_, height, width = images.shape
    sine, cosine = (-strength * math.pi / 180).sin(), (-strength * math.pi / 180).cos()
    x, y = width / 2, height / 2
    across = (cosine, sine, x - cosine * x - sine * y)
    return warp(images, across, (-sine, cosine, y + sine * x - cosine * y))


def posterize(images: Tensor, strength: Tensor) -> Tensor:
    """Keeps 8 minus strength, rounded, of each byte's bits."""
    lost = each(strength).round().byte()
    return (images >> lost) << lost


def solarize(images: Tensor, strength: Tensor) -> Tensor:
    """Inverts the values from 255 minus strength."""
    return torch.where(images < 255 - each(strength), images, 255 - images)


def autocontrast(images: Tensor, strength: Tensor) -> Tensor:
    """Stretches each channel from black to white; a channel of one value stays."""
    least, most = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    # As Pillow, in double precision and rounded down; torch's 255 / x is 255 * (1 / x).
    scale = torch.full((), 255.0, dtype=torch.float64) / (most - least).clamp(min=1)
    stretched = (images * scale - least * scale).clamp(0, 255).byte()
    return torch.where(most > least, stretched, images)


def equalize(images: Tensor, strength: Tensor) -> Tensor:
    """Makes all values of each channel about equally frequent."""
    values = images.flatten(0, 1).flatten(1).long()
    counts = torch.zeros(len(values), 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(1, values, torch.ones_like(values))
    last = counts.gather(1, values.amax(1, keepdim=True))
    step = (values.shape[1] - last) // 255
    before = counts.cumsum(1) - counts
    table = ((before + step // 2) // step.clamp(min=1)).clamp(max=255)
    return torch.where(step > 0, table.gather(1, values), values).byte().view_as(images)
