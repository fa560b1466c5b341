"""Tables of pictures of any number of channels: decoded ones, and files that are yet to be."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from datamodules.loading.loader import Table
from datamodules.loading.missing import MISSING
from datamodules.reading.decoding import decode, refuse
from datamodules.reading.listing import Listing
from datamodules.reading.pictures import Pictures, Unreadable

# From pictures (batch, channels, height, width), their numbers in the table (batch,) and the epoch.
Change = Callable[[Tensor, Tensor, int], Tensor]


def class_numbers(labels: Sequence[str | None], class_names: Sequence[str], root: str) -> Tensor:
    """The numbers of classes that are given by name, (n,); `MISSING` where there is no name.

    Args:
        labels: names
        class_names: by number
        root: where the labels are from, for the message

    Raises:
        ValueError: if a name is none of a class
    """
    numbers: dict[str | None, int] = {name: i for i, name in enumerate(class_names)}
    numbers[None] = MISSING
    if strange := set(labels) - set(numbers):
        trained = f"those that are trained: {', '.join(class_names) or 'none'}"
        raise ValueError(f"--data.path: class {min(strange)} in {root} is none of {trained}")
    return torch.tensor([numbers[label] for label in labels], dtype=torch.int64)


class PictureTable(Table):
    """Some of the pictures that lie in memory or in a mapped file, with their labels.

    Args:
        pixels: (pictures, channels, height, width), uint8; several tables may share them
        labels: (rows,), class numbers; `MISSING` where there is none
        rows: which of the pictures are used, (rows,); by default all
        change: what is done to a batch of pictures, a function of their numbers and the epoch
        mapped: the pixels are in a file, and stay there
    """

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor,
        rows: Tensor | None = None,
        change: Change | None = None,
        mapped: bool = False,
    ) -> None:
        self.pixels, self.labels = pixels, labels
        self.rows = torch.arange(len(labels)) if rows is None else rows
        self.change, self.mapped = change, mapped
        self.column: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def to_device(self, device: torch.device) -> None:
        """Moves the pictures that are used, unless they are mapped from a file."""
        if self.mapped or device == self.device:
            return
        self.pixels = self.pixels.index_select(0, self.rows)
        self.rows = torch.arange(len(self))
        super().to_device(device)

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, ...]:
        """Pictures (batch, channels, height, width) uint8, labels (batch,), the column, if any."""
        images = self.pixels.index_select(0, self.rows.index_select(0, rows))
        if self.change is not None:
            images = self.change(images, rows, epoch)
        column = () if self.column is None else (self.column.index_select(0, rows),)
        return images, self.labels.index_select(0, rows), *column

    def compute_column(
        self, function: Callable[[Tensor], Tensor], dtype: torch.dtype, size: int
    ) -> None:
        """Keeps function(pictures) for every row, to be gathered with the batch.

        Args:
            function: from pictures (batch, channels, height, width) as stored to values (batch, n)
            dtype: that the values are kept in
            size: of a batch
        """
        values = [
            function(self.pixels.index_select(0, rows)).to(self.device, dtype)
            for rows in tqdm(self.rows.split(size), "every picture", leave=False, delay=1)
        ]
        self.column = torch.cat(values)


class UndecodedPictures(Table):
    """Pictures without labels that are decoded when they are asked for.

    Args:
        listing: the pictures
        pictures: reads them
        on_error: refuse a picture that cannot be read, or skip it
    """

    def __init__(self, listing: Listing, pictures: Pictures, on_error: str) -> None:
        self.listing, self.pictures, self.on_error = listing, pictures, on_error
        self.skipped: dict[str, str] = {}  # what hindered each, by its name

    def __len__(self) -> int:
        return len(self.listing)

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures as of `PictureTable`, `MISSING` for each, and their numbers, (batch,).

        Raises:
            ValueError: if one cannot be read and is not to be skipped
        """
        images, numbers = [], rows.tolist()
        for row, image in zip(numbers, decode(self.listing, self.pictures, numbers), strict=True):
            if not isinstance(image, Unreadable):
                images.append(image)
            elif self.on_error == "refuse":
                raise refuse(self.listing, row, image)
            else:
                self.skipped[self.listing.names[row]] = str(image)
        read = [row for row in numbers if self.listing.names[row] not in self.skipped]
        shape = 0, 1 if self.pictures.mode == "L" else 3, self.pictures.size, self.pictures.size
        pixels = torch.from_numpy(np.stack(images) if images else np.empty(shape, np.uint8))
        return pixels, torch.full((len(read),), MISSING), torch.tensor(read, dtype=torch.int64)


class Numbered(Table):
    """A table whose batches have the numbers of their rows as last column.

    Args:
        table: whose batches are extended
    """

    def __init__(self, table: Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def tensors(self) -> dict[str, Tensor]:
        """Those of the table."""
        return self.table.tensors()

    def to_device(self, device: torch.device) -> None:
        """Moves the table."""
        self.table.to_device(device)

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, ...]:
        """The table's columns, and the rows (batch,)."""
        return *self.table.gather(rows, epoch), rows
