"""Pictures of samples: a grid of images, or points beside the real ones."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.image import imsave
from torch import Tensor
from torch.nn import functional

from recipes.parts.files import replacing

WIDTH = 500  # of a picture, about, pixels
GAP = 2  # between images, pixels
BACKGROUND = 128  # of 255


def as_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, 0 to 255."""
    return images.detach().cpu().float().clamp(0, 1).mul(255).round().byte()


def grid(images: Tensor, columns: int) -> np.ndarray:
    """Images in rows, from left to right, with a thin grey gap, enlarged by a whole factor.

    Args:
        images: (n, channels, height, width) in [0, 1]; grey or RGB
        columns: images in a row; the last row may be incomplete

    Returns:
        (rows * height * factor + gaps, columns * width * factor + gaps, channels), uint8; the
        factor makes it about 500 pixels wide

    Raises:
        ValueError: if images have neither one channel nor three
    """
    count, channels, _, width = images.shape
    if channels not in (1, 3):
        raise ValueError(f"a picture of {channels} channels: it takes 1 (grey) or 3 (RGB)")
    factor = max(1, round(WIDTH / (columns * width)))
    pixels = as_bytes(images).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    cells = functional.pad(pixels, (0, GAP, 0, GAP), value=BACKGROUND)
    empty = torch.full_like(cells[:1], BACKGROUND).expand(-count % columns, -1, -1, -1)
    table = torch.cat([cells, empty]).unflatten(0, (-1, columns))
    # (rows, columns, channels, height, width) -> (rows * height, columns * width, channels)
    picture = table.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return picture[:-GAP, :-GAP].numpy()


def scatter(samples: Tensor, real: Tensor, path: Path, title: str = "") -> None:
    """Draws real points, and generated ones over them, as a PNG file.

    Both axes cover the real points and a tenth more on each side; the title says how many
    generated points are outside.

    Args:
        samples: (n, 2)
        real: (m, 2)
        path: of the file
        title: of the picture
    """
    samples, real = (points.detach().cpu().float().numpy() for points in (samples, real))
    low, high = real.min(0), real.max(0)
    margin = 0.1 * float((high - low).max()) or 1.0
    low, high = low - margin, high + margin
    outside = len(samples) - int(((samples >= low) & (samples <= high)).all(1).sum())
    count = f"{len(samples):,} generated" + (f", {outside:,} outside" if outside else "")
    figure = Figure(figsize=(9, 5), layout="constrained")
    for axes, label in zip(figure.subplots(1, 2), (f"{len(real):,} real", count), strict=True):
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", title=label)
        is_real = label != count
        axes.plot(*real.T, ".", color="C0" if is_real else "0.8", markersize=3, alpha=0.5, mew=0)
        if not is_real:
            axes.plot(*samples.T, ".", color="C3", markersize=3, alpha=0.5, mew=0)
    figure.suptitle(title)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=100, format="png")


def save_grid(images: Tensor, columns: int, path: Path) -> None:
    """Writes the `grid` as a PNG file."""
    save_pixels(grid(images, columns), path)


def save_picture(image: Tensor, path: Path) -> None:
    """Writes an image (1 or 3, height, width) in [0, 1] as a PNG file, in its own size."""
    save_pixels(as_bytes(image).permute(1, 2, 0).numpy(), path)


def save_pixels(picture: np.ndarray, path: Path) -> None:
    """Writes pixels (height, width, 1 or 3) uint8 as a PNG file."""
    with replacing(path) as partial:
        pixels = np.broadcast_to(picture, (*picture.shape[:2], 3))
        imsave(partial, np.ascontiguousarray(pixels), format="png")
