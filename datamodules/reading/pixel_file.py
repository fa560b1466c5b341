"""Decoded pictures in a file, made once, that is read or mapped into memory."""

import os
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from tqdm import tqdm

from datamodules.reading.decoding import decode, read_skipped, refuse, write_skipped
from datamodules.reading.digest import digest
from datamodules.reading.listing import Listing
from datamodules.reading.pictures import Pictures, Unreadable

FORMAT = 1  # of the files; to be raised when decoding gives other pixels
ABANDONED = 3600  # seconds since a partial file was written to, after which its process is dead


class PixelFile:
    """The pixels of a listing's pictures, one after the other, and which of them were left out.

    The name says from what it was made: where the pictures lie, how they are decoded, and the name,
    size and time of each file. So a change is noticed, and an older file of them is removed.

    Args:
        listing: the pictures
        pictures: reads them, all of one size and mode
        folder: that the file lies in
        on_error: refuse a picture that cannot be read, or skip it
    """

    def __init__(self, listing: Listing, pictures: Pictures, folder: Path, on_error: str) -> None:
        self.listing, self.pictures, self.on_error = listing, pictures, on_error
        self.shape = (1 if pictures.mode == "L" else 3, pictures.size, pictures.size)
        how = (FORMAT, pictures.size, pictures.mode, pictures.background)
        source = digest([str(listing.root.resolve()), listing.sources, *how])
        self.prefix = f"{listing.root.resolve().name}-{source}"
        stem = f"{self.prefix}-{digest(listing.stamps())}"
        self.path = folder / f"{stem}.pixels"
        self.list_of_skipped = folder / f"{stem}.skipped.csv"
        self.is_made = False  # by `make`

    def skipped(self) -> dict[str, str]:
        """What hindered each picture that was left out, by its name."""
        return read_skipped(self.list_of_skipped)

    def kept(self) -> list[int]:
        """The numbers of the pictures that are in the file, in its order."""
        skipped = self.skipped()
        return [row for row, name in enumerate(self.listing.names) if name not in skipped]

    def make(self) -> None:
        """Decodes all pictures, unless that is done; says how many are left out.

        Raises:
            ValueError: if a picture cannot be read and is not to be skipped, or if none can
            OSError: if the file cannot be written
        """
        if not self._is_whole():
            self._write()
        if not self.is_made and (skipped := self.skipped()):
            name, reason = next(iter(skipped.items()))
            if self.on_error == "refuse":
                raise refuse(self.listing, self.listing.names.index(name), Unreadable(reason))
            count = f"{len(skipped)} of {len(self.listing)} pictures"
            said = f"cannot be read and are left out, listed in {self.list_of_skipped}"
            rank_zero_info(f"note: {self.listing.root}: {count} {said}")
        self.is_made = True

    def _is_whole(self) -> bool:
        size = len(self.kept()) * int(np.prod(self.shape))
        return size > 0 and self.path.is_file() and self.path.stat().st_size == size

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.partial")
        try:
            skipped = self._decode_to(partial)
            if len(skipped) == len(self.listing):
                raise refuse(self.listing, 0, Unreadable("none of the pictures can be read"))
            self.list_of_skipped.unlink(missing_ok=True)
            if skipped:
                write_skipped(self.list_of_skipped, skipped)
            os.replace(partial, self.path)  # last: where it is, the list is, too
        finally:
            partial.unlink(missing_ok=True)
        self._remove_older()

    def _decode_to(self, path: Path) -> dict[str, str]:
        """Writes the pixels, and returns what hindered each picture that is left out."""
        skipped: dict[str, str] = {}
        rows = range(len(self.listing))
        shown = tqdm(rows, f"decoding {self.listing.root}", unit=" pictures", leave=False, delay=1)
        with path.open("wb") as file:
            for row, image in zip(shown, decode(self.listing, self.pictures, rows), strict=True):
                if not isinstance(image, Unreadable):
                    file.write(image.data)
                elif self.on_error == "refuse":
                    raise refuse(self.listing, row, image)
                else:
                    skipped[self.listing.names[row]] = str(image)
        return skipped

    def _remove_older(self) -> None:
        """Removes what was made of these pictures before they changed, and what a kill has left."""
        for other in self.path.parent.glob(f"{self.prefix}-*"):
            with suppress(FileNotFoundError):  # another process removes them, too
                recent = time.time() - other.stat().st_mtime < ABANDONED
                of_another = other.suffix == ".partial" and recent
                if other not in (self.path, self.list_of_skipped) and not of_another:
                    other.unlink()

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    def read(self, mapped: bool) -> Tensor:
        """The pixels, (pictures, channels, height, width) uint8.

        Args:
            mapped: leave them in the file, which is then mapped into memory and not written to
        """
        if not mapped:
            return torch.from_numpy(np.fromfile(self.path, np.uint8)).view(-1, *self.shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nothing may be written there
            pixels = torch.from_numpy(np.memmap(self.path, np.uint8, "r"))
        return pixels.view(-1, *self.shape)
