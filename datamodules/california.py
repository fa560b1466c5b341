"""California housing, through scikit-learn's own loader."""

from pathlib import Path
from typing import Literal

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.loading.splits import Share
from datamodules.tabular import TabularData


class California(TabularData):
    """20,640 blocks of California in 1990, eight features; the target is the median house value.

    Pace & Barry, "Sparse Spatial Autoregressions" (1997). The target is in 100,000 dollars, cut off
    at 5. Scikit-learn downloads the data to `data_dir` once and checks it.

    Args:
        data_dir: folder that scikit-learn keeps the data in (its `data_home`)
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
        data_dir: str = "data/california",
        batch_size: PositiveInt | Literal["full"] = 128,
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
        self.data_dir = Path(data_dir).expanduser()

    def prepare_data(self) -> None:
        from sklearn.datasets import fetch_california_housing  # half a second

        try:
            fetch_california_housing(data_home=self.data_dir, n_retries=1)
        except Exception as error:  # what urllib, tarfile and joblib raise
            raise OSError(
                f"cannot download California housing to {self.data_dir} (--data.data_dir), or what "
                f"is there is damaged: {type(error).__name__}"
            ) from error

    def load(self) -> tuple[Tensor, Tensor]:
        from sklearn.datasets import fetch_california_housing

        data = fetch_california_housing(data_home=self.data_dir, download_if_missing=False)
        self.feature_names, self.target_name = list(data.feature_names), "MedHouseVal"
        return torch.from_numpy(data.data).double(), torch.from_numpy(data.target).double()
