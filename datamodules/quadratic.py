"""The data of a noisy quadratic of 100 dimensions."""

from typing import Literal

import numpy as np
import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.loading.splits import Share, hold_out
from datamodules.tabular import TabularData

ROWS, TEST_ROWS, DIMENSION = 1000, 896, 100


class Quadratic(TabularData):
    """Minima x of 1/2 (theta - x)' Q (theta - x): the data of DeepOBS's quadratic_deep.

    Schneider, Balles & Hennig, "DeepOBS: A Deep Learning Optimizer Benchmark Suite" (2019). The
    1,000 training rows are normal with mean 0 and standard deviation 0.6 from
    `numpy.random.RandomState(42)`. The test rows are the first 896 of 1,000 from seed 43: the
    published losses are of these, since that pipeline dropped an incomplete batch of 128 there too.
    Targets are 0. Never standardised. It kept one order for all epochs: `reshuffle=False`.

    Args:
        batch_size: rows per batch, on each process; `full`: all training rows in each batch
        val_size: share of the training rows that is for validation
        split: number of the random split into training and validation
        reshuffle: a new order in every epoch; otherwise that of the first epoch in all
        seed: of the order
    """

    def __init__(
        self,
        batch_size: PositiveInt | Literal["full"] = 128,
        val_size: Share = 0.0,
        split: NonNegativeInt = 0,
        reshuffle: bool = True,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__(
            batch_size,
            val_size,
            split=split,
            standardize=False,
            reshuffle=reshuffle,
            seed=seed,
        )

    def load(self) -> tuple[Tensor, Tensor]:
        parts = [np.random.RandomState(seed).normal(0, 0.6, (ROWS, DIMENSION)) for seed in (42, 43)]
        inputs = torch.from_numpy(np.concatenate(parts))
        return inputs, torch.zeros(len(inputs), dtype=torch.float64)

    def split_rows(self, rows: int, split: int) -> tuple[Tensor, Tensor, Tensor]:
        train, test = torch.arange(rows).split(ROWS)
        return *hold_out(train, self.val_size, "--data.val_size", split, 2), test[:TEST_ROWS]
