"""Changes of colours, as Pillow's ImageEnhance defines them, and the augmentation by them."""

from typing import ClassVar

import torch
from jsonargparse.typing import ClosedUnitInterval
from torch import Tensor
from torch.nn import functional as F

from datamodules.augmentation.changes import Augmentation, as_bytes, each

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R 601


def grey(images: Tensor) -> Tensor:
    """Pictures without colours, (batch, 1, height, width) floats, whole numbers of 0 to 255."""
    if images.shape[1] == 1:
        return images.float()
    weights = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True).round()


def blend(plain: Tensor | float, images: Tensor, factor: Tensor) -> Tensor:
    """Plain + factor * (images - plain), as bytes.

    Args:
        plain: pictures without the property that is changed
        images: (batch, channels, height, width), uint8
        factor: (batch,); 0: plain, 1: as it was, above: more than it was
    """
    return as_bytes((images - plain).mul_(each(factor)).add_(plain))


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Brighter above 1, black at 0; arguments of all as `blend`."""
    return blend(0.0, images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Evenly grey at 0."""
    return blend(grey(images).mean((1, 2, 3), keepdim=True).round(), images, factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Without colours at 0."""
    return blend(grey(images), images, factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Smoothed by 3x3 pixels at 0; the outermost pixels stay as they are."""
    channels = images.shape[1]
    kernel = torch.ones(channels, 1, 3, 3, device=images.device)
    kernel[:, :, 1, 1] = 5
    smooth = images.float()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images.float(), kernel / 13, groups=channels).round()
    return blend(smooth, images, factor)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turns the colours of the circle red, green, blue; arguments as `blend`.

    By hue, saturation and value (Smith 1978, "Color gamut transform pairs").

    Args:
        images: (batch, channels, height, width), uint8; grey ones stay as they are
        turn: share of the circle, (batch,)
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.float().unbind(1)
    value, least = images.float().amax(1), images.float().amin(1)
    chroma = value - least
    one = torch.where(chroma > 0, chroma, 1)
    sixths = torch.where(
        value == red,
        (green - blue) / one,
        torch.where(value == green, 2 + (blue - red) / one, 4 + (red - green) / one),
    )
    sixths = sixths + 6 * turn.view(-1, 1, 1)
    # Each channel's distance from its own colour on the circle says how far below the value it is.
    steps = [(offset + sixths) % 6 for offset in (5, 3, 1)]
    channels = [value - chroma * torch.minimum(k, 4 - k).clamp(0, 1) for k in steps]
    return as_bytes(torch.stack(channels, 1))


class ColorJitter(Augmentation):
    """Changes brightness, contrast, saturation and hue of each picture, in this order.

    Each of the first three is multiplied by a factor from 1 - x to 1 + x, all equally likely.

    Args:
        brightness: x of the brightness, 0 to 1
        contrast: x of the contrast, 0 to 1
        saturation: x of the saturation, 0 to 1
        hue: the largest turn of the colour circle either way, as a share of it, 0 to 1
    """

    draws: ClassVar[int] = 4

    def __init__(
        self,
        brightness: ClosedUnitInterval = 0.4,
        contrast: ClosedUnitInterval = 0.4,
        saturation: ClosedUnitInterval = 0.4,
        hue: ClosedUnitInterval = 0.0,
    ) -> None:
        self.largest = (brightness, contrast, saturation, hue)

    def __call__(self, images: Tensor, random: Tensor) -> Tensor:
        for change, middle, largest, drawn in zip(
            (brightness, contrast, saturation, hue),
            (1, 1, 1, 0),
            self.largest,
            random.unbind(1),
            strict=True,
        ):
            if largest:
                images = change(images, middle + (2 * drawn - 1) * largest)
        return images
