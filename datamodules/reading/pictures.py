"""A picture of a row as pixels. It may be anybody's: it is decoded, and nothing else is opened."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from PIL import Image as pillow
from PIL import ImageOps

# Pillow hands EPS to Ghostscript, an interpreter of programs, and WMF to Windows.
FORMATS = "AVIF BMP DDS GIF ICNS ICO JPEG JPEG2000 MPO PCX PNG PPM SGI TGA TIFF WEBP XBM".split()
WHITE_16 = 65535  # of a picture of 16 bits


class Unreadable(ValueError):
    """A picture that cannot be read as it is; the message says why, and not where it is."""


class Pictures:
    """Reads pictures of one size and kind.

    Args:
        size: they are resized to so many pixels, each way
        mode: they are converted to grey (L) or colours (RGB)
        folders: of the dataset; a picture that is a file must lie in one of them
    """

    def __init__(
        self, size: int | None, mode: Literal["L", "RGB"] | None, folders: Iterable[Path] = ()
    ) -> None:
        self.size, self.mode = size, mode
        self.folders = [folder.expanduser().absolute() for folder in folders]

    def read(self, content: pa.Buffer | None, path: str | None) -> np.ndarray:
        """A picture (channels, height, width), uint8.

        Args:
            content: its file's
            path: of its file, where there is no content

        Raises:
            Unreadable: if it is missing, damaged, elsewhere, or not of 8 bits and no mode is asked
        """
        image = self._decoded(self._content(path) if content is None else content)
        if self.mode and image.mode != self.mode:
            image = eight_bits(image).convert(self.mode)
        if self.size and image.size != (self.size, self.size):
            image = image.resize((self.size, self.size), pillow.Resampling.BILINEAR)
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

    def _decoded(self, content: pa.Buffer | bytes) -> pillow.Image:
        pillow.init()
        try:
            formats = [name for name in FORMATS if name in pillow.OPEN]
            image = pillow.open(io.BytesIO(content), formats=formats)
            image.load()
            # Photographs that are stored lying on a side.
            return ImageOps.exif_transpose(image) if image.info.get("exif") else image
        except Exception as error:  # of Pillow's dozen readers, each has its own kinds
            raise Unreadable(f"an image is damaged: {error}") from error


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
