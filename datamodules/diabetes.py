"""Scikit-learn's bundled diabetes data: a real regression without a download."""

from typing import Literal

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.loading.splits import Share
from datamodules.tabular import TabularData


class Diabetes(TabularData):
    """442 patients, ten measurements each; the target is the disease's progression a year later.

    Efron, Hastie, Johnstone & Tibshirani, "Least Angle Regression" (2004). Age in years, sex (1 or
    2), body mass index in kg/m^2, mean blood pressure in mmHg and six blood serum measurements, in
    their own units; the progression is a number from 25 to 346 without a unit.

    Args:
        batch_size: rows per batch, on each process; `full`: all training rows in each batch
        val_size: share of the rows that are not for testing that is for validation
        test_size: share of all rows that is for testing
        split: number of the random split
        standardize: shift and scale each input and the target to mean 0 and standard deviation 1
            on the training rows
        reshuffle: a new order in every epoch; otherwise that of the first epoch in all
        seed: of the order
        folds: parts that all rows are cut into, one of them for testing in place of `test_size`
        fold: number of the part that is for testing
        repeat: number of the random cutting
    """

    def __init__(
        self,
        batch_size: PositiveInt | Literal["full"] = 32,
        val_size: Share = 0.2,
        test_size: Share = 0.2,
        split: NonNegativeInt = 0,
        standardize: bool = True,
        reshuffle: bool = True,
        seed: NonNegativeInt = 0,
        folds: PositiveInt | None = None,
        fold: NonNegativeInt = 0,
        repeat: NonNegativeInt = 0,
    ) -> None:
        super().__init__(
            batch_size,
            val_size,
            test_size,
            split,
            standardize,
            reshuffle,
            seed,
            folds,
            fold,
            repeat,
        )

    def load(self) -> tuple[Tensor, Tensor]:
        from sklearn.datasets import load_diabetes  # half a second

        data = load_diabetes(scaled=False)
        self.feature_names, self.target_name = list(data.feature_names), "progression"
        return torch.from_numpy(data.data).double(), torch.from_numpy(data.target).double()
