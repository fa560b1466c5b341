"""Four rows to follow an optimizer by hand on."""

from typing import Literal

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.tabular import TabularData


class Textbook(TabularData):
    """X = [[1, 2], [2, 3], [3, 4], [4, 5]], y = [2, 3, 4, 5]: y = X (0, 1)' exactly.

    All four rows are for training, and the same four for validation and testing. Never
    standardised.

    Args:
        batch_size: rows per batch, on each process; `full`: all four in each batch
        reshuffle: a new order in every epoch; otherwise that of the first epoch in all
        seed: of the order
    """

    def __init__(
        self,
        batch_size: PositiveInt | Literal["full"] = "full",
        reshuffle: bool = True,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size, 0.0, 0.0, standardize=False, reshuffle=reshuffle, seed=seed)

    def load(self) -> tuple[Tensor, Tensor]:
        first = torch.arange(1, 5, dtype=torch.float64)
        return torch.stack([first, first + 1], 1), first + 1

    def split_rows(self, rows: int, split: int) -> tuple[Tensor, Tensor, Tensor]:
        every = torch.arange(rows)
        return every, every, every
