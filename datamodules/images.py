"""Images that fit in memory: splits, shifts, columns computed once, and scaling to [0, 1]."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from datamodules.loading.in_memory import InMemory
from datamodules.loading.loader import Table, keyed_generator
from datamodules.loading.missing import MISSING, check_known
from datamodules.reading.classes import Classes

IMAGES_AT_ONCE = 1000  # when a column is computed
LARGEST_COLUMN = 2 * 2**30  # bytes


def some_labels(labels: Tensor, count: int, seed: int) -> Tensor:
    """Labels of which only some are known, as many of each class as possible.

    Args:
        labels: (rows,), class numbers
        count: how many are kept
        seed: decides which ones

    Returns:
        (rows,); the others are `MISSING`

    Raises:
        ValueError: if there are fewer
    """
    if count > len(labels):
        raise ValueError(f"--data.labelled={count} of {len(labels)} training images")
    order = torch.randperm(len(labels), generator=keyed_generator(seed, 2))
    # The first of every class, then the second ...
    kept = order[occurrence(labels[order]).argsort(stable=True)[:count]]
    return torch.full_like(labels, MISSING).index_copy(0, kept, labels[kept])


def occurrence(labels: Tensor) -> Tensor:
    """How many of its class come before each image, (rows,), by class numbers (rows,)."""
    number = labels.unique(return_inverse=True)[1].unsqueeze(1)
    return F.one_hot(number.squeeze(1)).cumsum(0).gather(1, number).squeeze(1) - 1


def of_classes(rows: Tensor, labels: Tensor, classes: Sequence[int] | None) -> Tensor:
    """The rows, numbers of images, that are of some classes, in their order; of None, all."""
    return rows if classes is None else rows[torch.isin(labels[rows], torch.tensor(classes))]


class ImageTable(Table):
    """Grey images and labels, one tensor each, with every shift of an image as a view of it.

    An image that may be shifted by up to n pixels has (2n + 1)^2 views: the windows of its
    zero-padded self. They are strided, so they cost no memory. A batch of them is one gather of
    spans: the pixels from a window's first to its last, one stretch of memory an image.

    Args:
        images: (rows, height, width), uint8
        labels: (rows,), class numbers; `MISSING` where there is none
        shift: n, the largest shift along each axis, pixels
        seed: of the shifts, which are a pure function of (seed, epoch, row)
    """

    def __init__(self, images: Tensor, labels: Tensor, shift: int = 0, seed: int = 0) -> None:
        self.images, self.labels = images, labels
        self.padded = F.pad(images, (shift,) * 4) if shift else images
        self.shift, self.seed = shift, seed
        self.column: Tensor | None = None
        self._drawn: tuple[int, list[Tensor]] = (-1, [])

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def targets(self) -> Tensor:
        """The labels, by the name that all tables have."""
        return self.labels

    @property
    def views(self) -> Tensor:
        """All of them, (rows, 2n + 1, 2n + 1, height, width)."""
        _, height, width = self.images.shape
        return self.padded.unfold(1, height, 1).unfold(2, width, 1)

    def offsets(self, epoch: int) -> Tensor:
        """Each row's view in an epoch, (rows, 2), from 0 to 2n."""
        return self.drawn(epoch)[0]

    def drawn(self, epoch: int) -> list[Tensor]:
        """The offsets of an epoch, and each row's first pixel in `padded`, (rows,)."""
        if self._drawn[0] != epoch:
            generator = keyed_generator(self.seed, epoch, self.shift)
            offsets = torch.randint(2 * self.shift + 1, (len(self), 2), generator=generator)
            down, right = offsets.unbind(1)
            lines, pixels = self.padded.shape[1:]
            first = (torch.arange(len(self)) * lines + down) * pixels + right
            self._drawn = epoch, [offsets.to(self.device), first.to(self.device)]
        return [drawn.to(self.device) for drawn in self._drawn[1]]

    def windows(self, rows: Tensor, epoch: int) -> Tensor:
        """`views[rows, down, right]` by the offsets, (batch, height, width), but faster."""
        _, height, width = self.images.shape
        pixels = self.padded.shape[2]
        spans = self.padded.flatten().unfold(0, (height - 1) * pixels + width, 1)
        first = self.drawn(epoch)[1].index_select(0, rows)
        return spans.index_select(0, first).unfold(1, width, pixels)

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, ...]:
        """Images (batch, 1, height, width), labels (batch,) and the column's values, if any."""
        if self.shift:
            images, column = self.windows(rows, epoch), ()
            if self.column is not None:
                down, right = self.offsets(epoch).index_select(0, rows).unbind(1)
                column = (self.column[rows, down, right],)
        else:
            images = self.images.index_select(0, rows)  # 7 times faster than images[rows]
            column = () if self.column is None else (self.column[:, 0, 0].index_select(0, rows),)
        return images.unsqueeze(1), self.labels.index_select(0, rows), *column

    def compute_column(self, function: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
        """Keeps function(images) for every row and view, to be gathered with the batch.

        Args:
            function: from images (batch, 1, height, width) as stored to values (batch, n)
            dtype: that the values are kept in
        """
        views, count = self.views, 2 * self.shift + 1
        parts = []
        size = max(1, IMAGES_AT_ONCE // count**2)
        for start in tqdm(range(0, len(self), size), "every view", leave=False, delay=1):
            images = views[start : start + size].flatten(0, 2).unsqueeze(1)
            values = function(images).to(self.device, dtype)
            parts.append(values.unflatten(0, (-1, count, count)))
        self.column = torch.cat(parts)


class Images(InMemory):
    """Grey images of one size, split into train, val and test, scaled to [0, 1].

    A subclass says where they come from (`load`) and the value of white (`white`).

    Args:
        batch_size: images per batch, on each process
        val_size: images taken out of the training set for validation
        shift: largest random shift of a training image along each axis, pixels
        classes: the classes kept in the training set, all if not given; val and test keep all
        labelled: training images that keep their label, as many of each class; by default all
        split_seed: decides which images are for validation
        seed: of the order and the shifts of training images
        only: the classes that there are at all, also in val and test; by default all
        per_class: training images of each class that are kept; by default all
    """

    white: ClassVar[float] = 255.0
    tables: dict[str, ImageTable]

    def __init__(
        self,
        batch_size: PositiveInt = 128,
        val_size: PositiveInt = 10_000,
        shift: NonNegativeInt = 0,
        classes: list[NonNegativeInt] | None = None,
        labelled: PositiveInt | None = None,
        split_seed: NonNegativeInt = 0,
        seed: NonNegativeInt = 0,
        only: list[NonNegativeInt] | None = None,
        per_class: PositiveInt | None = None,
    ) -> None:
        super().__init__(batch_size, seed)
        self.val_size, self.split_seed = val_size, split_seed
        self.shift, self.classes, self.labelled = shift, classes, labelled
        self.only, self.per_class = only, per_class
        self.rows: dict[str, Tensor] = {}  # which of those that were loaded a table has

    @property
    def trained_classes(self) -> list[int] | None:
        """The numbers of the classes in the training set; None if it has all."""
        return self.classes

    @abstractmethod
    def load(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Reads the data: (images, labels) for training, (images, labels) for testing.

        Images are (rows, height, width) uint8, labels (rows,) int64.
        """

    def setup(self, stage: str) -> None:
        if self.tables:
            return
        (images, labels), test = self.load()
        name, count = f"--data={type(self).__name__}", self.class_count
        for part, numbers in {"train": labels, "test": test[1]}.items():
            check_known(numbers, count and Classes(count, name), partial(self.place, part))
        self.input_shape = (1, *images.shape[1:])
        self.label_count = int(torch.cat([labels, test[1]]).max()) + 1
        if self.shift >= min(images.shape[1:]):
            size = "x".join(map(str, images.shape[1:]))
            raise ValueError(f"--data.shift={self.shift} would empty images of {size} pixels")
        order = torch.randperm(len(labels), generator=keyed_generator(self.split_seed))
        order = of_classes(order, labels, self.only)
        tested = of_classes(torch.arange(len(test[1])), test[1], self.only)
        if not 0 < self.val_size < len(order):
            raise ValueError(f"--data.val_size={self.val_size} of {len(order)} training images")
        val, train = order[: self.val_size], order[self.val_size :]
        if self.classes is not None:
            if len(set(self.classes)) < len(self.classes):
                raise ValueError(f"--data.classes={self.classes} has a class more than once")
            train = of_classes(train, labels, self.classes)
            if not len(train):
                raise ValueError(f"--data.classes={self.classes}: no such training images")
        if self.per_class is not None:
            train = train[occurrence(labels[train]) < self.per_class]
        known = labels[train]
        if self.labelled is not None:
            known = some_labels(known, self.labelled, self.split_seed)
        self.rows = {"train": train, "val": val, "test": tested}
        self.tables = {
            "train": ImageTable(images[train], known, self.shift, self.seed),
            "val": ImageTable(images[val], labels[val]),
            "test": ImageTable(test[0][tested], test[1][tested]),
        }

    def place(self, part: str, row: int) -> str:
        """Where `load` has an image from, for messages.

        Args:
            part: train or test
            row: of what it returns for that
        """
        return f"--data={type(self).__name__}: {part}ing image {row}"

    def origin(self, split: str, row: int) -> str:
        return self.place("test" if split == "test" else "train", int(self.rows[split][row]))

    def compute_column(
        self,
        function: Callable[[Tensor], Tensor],
        dtype: torch.dtype,
        splits: Sequence[str] = ("train", "val"),
    ) -> list[str]:
        """Appends function(inputs) to the batches of some splits, computed once for every view.

        Does so only if the columns take no more than `LARGEST_COLUMN` bytes.

        Args:
            function: from inputs (batch, 1, height, width), scaled and on the trainer's device,
                to values (batch, n)
            dtype: that the values are kept in, where the table lies
            splits: those whose batches become (inputs, targets, values)

        Returns:
            the splits that do
        """
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

        def from_stored(images: Tensor) -> Tensor:
            return function(self.scale(images.to(device)))

        tables = [self.tables[split] for split in splits]
        width = from_stored(tables[0].images[:2].unsqueeze(1)).shape[1]
        if (
            sum(table.views[..., 0, 0].numel() for table in tables) * width * dtype.itemsize
            > LARGEST_COLUMN
        ):
            return []
        for table in tables:
            table.compute_column(from_stored, dtype)
        return list(splits)

    def drop_columns(self) -> None:
        """Makes the batches (inputs, targets) again."""
        for table in self.tables.values():
            table.column = None

    def scale(self, images: Tensor) -> Tensor:
        """From stored values, 0 to white, to 0 to 1, in the type of the network's weights."""
        return super().scale(images).div_(self.white)
