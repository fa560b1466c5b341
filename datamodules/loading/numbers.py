"""Rows that are numbers alone, for what is made and not read."""

from torch import Tensor

from datamodules.loading.loader import Table


class Numbers(Table):
    """The numbers of examples that are to be made, 0 to count - 1.

    Args:
        count: how many
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor]:
        """The numbers themselves, (batch,)."""
        return (rows,)
