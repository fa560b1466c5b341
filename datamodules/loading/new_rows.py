"""A file of rows whose target is not known, read in passing."""

from collections.abc import Iterator

import torch
from torch import Tensor

from datamodules.loading.fitted import Fitted
from datamodules.loading.missing import MISSING
from datamodules.reading.cells import verbatim
from datamodules.reading.columns import Column, find
from datamodules.reading.table import Sheet

CHUNK = 50_000  # rows that are read at a time


class NewRows:
    """Iterates over batches of a file: inputs, targets that are marked as missing, row numbers.

    No more than two chunks of the file are in memory.

    Args:
        fitted: what the fit has learned
        sheet: the file; columns are found by name
        id: column of what identifies a row
        batch_size: rows per batch and process
        dtype: of the inputs
        rank: number of this process
        world_size: number of processes; each takes every so manieth row of a batch
        option: that `id` was given by, for the message
    """

    def __init__(
        self,
        fitted: Fitted,
        sheet: Sheet,
        id: Column | None,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        rank: int = 0,
        world_size: int = 1,
        option: str = "--data.id",
    ) -> None:
        self.fitted, self.sheet, self.dtype = fitted, sheet, dtype
        self.step, self.rank, self.world_size = batch_size * world_size, rank, world_size
        self.chunk = CHUNK
        self.id = None if id is None else find(id, sheet.names, option)
        used = [] if self.id is None else [self.id]
        self.places = fitted.schema.locate(sheet, needs_target=False, others=used)
        self.named: dict[int, list[str]] = {}  # a chunk's first row, and the identifiers

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        first, texts = 0, self.fitted.schema.texts(self.places)
        columns = [*self.places.values()]
        if self.id is not None:
            columns, texts = [*dict.fromkeys([*columns, self.id])], [*texts, self.id]
        chunk = max(self.chunk // self.step, 1) * self.step
        for frame in filter(len, self.sheet.frames(columns, texts, chunk)):
            inputs = self.fitted.inputs(self.sheet, frame, self.places, first).to(self.dtype)
            # Lightning asks for a batch before it is done with the one before.
            self.named = dict([*self.named.items()][-1:])
            if self.id is not None:
                self.named[first] = verbatim(frame[self.id]).tolist()
            for start in range(0, len(frame), self.step):
                rows = torch.arange(start, min(start + self.step, len(frame)))
                rows = rows[self.rank :: self.world_size]
                yield inputs[rows], self.targets(len(rows)), rows + first
            first += len(frame)
        if not first:
            raise ValueError(f"{self.sheet.path} has no rows")

    def targets(self, rows: int) -> Tensor:
        """Targets that are not known."""
        if self.fitted.schema.class_names is not None:
            return torch.full((rows,), MISSING)
        count = len(self.fitted.schema.targets)
        return torch.full((rows, count) if count > 1 else (rows,), torch.nan, dtype=self.dtype)

    def identifiers(self, rows: Tensor) -> list[str]:
        """The `id` of some rows, or their numbers.

        Args:
            rows: as in the batches of the last two chunks, (rows,)
        """
        if self.id is None:
            return [str(row) for row in rows.tolist()]
        found = [(row, max(first for first in self.named if first <= row)) for row in rows.tolist()]
        return [self.named[first][row - first] for row, first in found]
