"""Rows of a dataset whose files are mapped into memory."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from datamodules.loading.loader import Table

if TYPE_CHECKING:  # the extra: importing it takes a second
    from datasets import Dataset

    from datamodules.reading.features import Columns


class MappedRows(Table):
    """Some rows of a dataset whose files are mapped into memory.

    Args:
        dataset: all rows
        columns: those that are read, and how they become tensors
        rows: numbers of the rows that are used, (n,)
    """

    def __init__(self, dataset: "Dataset", columns: "Columns", rows: Tensor) -> None:
        self.dataset = dataset.select_columns(columns.names).with_format("arrow")
        self.columns, self.rows = columns, rows

    def __len__(self) -> int:
        return len(self.rows)

    def to_device(self, device: torch.device) -> None:
        """Nothing: what is mapped from files stays there."""

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Inputs (batch, channels, height, width) or (batch, n), and targets (batch,)."""
        numbers = self.rows[rows].tolist()
        return self.columns.tensors(self.dataset[numbers], numbers)
