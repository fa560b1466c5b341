"""A picture's file as pixels. It may be anybody's: it is decoded, and nothing else is opened."""

import copy
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, ImageColor, ImageOps, UnidentifiedImageError
from PIL import Image as pillow

# Pillow hands EPS to Ghostscript, an interpreter of programs, and WMF to Windows.
FORMATS = "AVIF BMP DDS GIF ICNS ICO JPEG JPEG2000 MPO PCX PNG PPM SGI TGA TIFF WEBP XBM".split()
WHITE_16 = 65535  # of a picture of 16 bits


class Unreadable(ValueError):
    """A picture that cannot be read as it is; the message says why, and not where it is."""


class Pictures:
    """Reads pictures of one size and kind.

    Photographs stored lying on a side are turned upright, and grey of 16 bits is scaled by 1/257.

    Args:
        size: the largest square in the centre is resized, antialiased, to so many pixels each way;
            without it, the whole picture is kept
        mode: they are converted to grey (L) or colours (RGB)
        folders: of the dataset; a picture that is a file must lie in one of them
        background: colour behind what is transparent, if they are converted

    Raises:
        ValueError: if there is no such colour
    """

    def __init__(
        self,
        size: int | None,
        mode: Literal["L", "RGB"] | None,
        folders: Iterable[Path] = (),
        background: str = "white",
    ) -> None:
        self.size, self.mode = size, mode
        self.folders = [folder.expanduser().absolute() for folder in folders]
        try:
            self.background = ImageColor.getrgb(background)
        except ValueError as error:
            said = "no colour, such as white or '#ff8000'"
            raise ValueError(f"--data.background={background}: {said}") from error

    def within(self, folder: Path) -> "Pictures":
        """The same for pictures in another folder."""
        other = copy.copy(self)
        other.folders = [folder.expanduser().absolute()]
        return other

    def read(self, content: bytes | None, path: str | None = None) -> np.ndarray:
        """A picture (channels, height, width), uint8.

        Args:
            content: its file's, bytes or a buffer
            path: of its file, where there is no content

        Raises:
            Unreadable: if it is missing, damaged, elsewhere, or not of 8 bits and no mode is asked
        """
        image = self._decoded(self._content(path) if content is None else content)
        if self.mode and image.mode != self.mode:
            image = opaque(eight_bits(image), self.background).convert(self.mode)
        if self.size and image.size != (self.size, self.size):
            whole = (self.size, self.size)
            image = image.crop(central(*image.size)).resize(whole, pillow.Resampling.BILINEAR)
        pixels = np.asarray(image)
        if pixels.dtype != np.uint8 or image.mode in ("P", "PA"):
            raise Unreadable(f"an image of mode {image.mode}; say --data.image_mode=L or RGB")
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def _content(self, path: str | None) -> bytes:
        if not path:
            raise Unreadable("an image is missing")
        for folder in self.folders:
            # Relative paths are so to the dataset. Links in it are followed: a set may be made of.
            file = Path(os.path.normpath(folder / path))
            if file.is_relative_to(folder) and file.is_file():
                return file.read_bytes()
        raise Unreadable(f"an image is {path}, which is no file in the dataset's folder")

    def _decoded(self, content: bytes) -> pillow.Image:
        pillow.init()
        try:
            formats = [name for name in FORMATS if name in pillow.OPEN]
            image = pillow.open(io.BytesIO(content), formats=formats)
            if self.size:  # a large JPEG is decoded at the half or less, as `thumbnail` does
                image.draft(None, (2 * self.size, 2 * self.size))
            image.load()
            kind = image.format
            if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # stored lying on a side
                image = ImageOps.exif_transpose(image)
                image.format = kind
            return image
        except UnidentifiedImageError as error:
            said = "no picture, or of a kind that is not read"
            raise Unreadable(f"an image is damaged: {said}") from error
        except Exception as error:  # of Pillow's dozen readers, each has its own kinds
            raise Unreadable(f"an image is damaged: {error}") from error


def central(width: int, height: int) -> tuple[int, int, int, int]:
    """The largest square in the centre of a picture: left, upper, right and lower edge, pixels."""
    side = min(width, height)
    left, upper = (width - side) // 2, (height - side) // 2
    return left, upper, left + side, upper + side


def opaque(image: pillow.Image, background: tuple[int, ...]) -> pillow.Image:
    """A picture with a background in the place of transparency."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    whole = pillow.new("RGBA", image.size, background)
    whole.alpha_composite(image)
    return whole


def eight_bits(image: pillow.Image) -> pillow.Image:
    """A picture of 16 bits as one of 8, with white as white; Pillow would cut it off at 255.

    Raises:
        Unreadable: if it is of larger numbers or floats, whose white is not known
    """
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if values.dtype.itemsize != 2 and image.format != "PNG":  # whose I is of 16 bits
        raise Unreadable(f"an image of mode {image.mode}, of which the value of white is not known")
    scaled = (values.astype(np.uint32) * 255 + WHITE_16 // 2) // WHITE_16
    return pillow.fromarray(scaled.astype(np.uint8))
