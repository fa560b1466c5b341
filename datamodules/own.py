"""A table of your own: a file, or a URL with a checksum."""

from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.loading.splits import Share
from datamodules.reading.columns import read_columns
from datamodules.reading.download import check, fetch
from datamodules.tabular import TabularData


class Tabular(TabularData):
    """The numbers in a CSV (.csv, .tsv), Parquet (.parquet, .pq) or whitespace file (any other).

    A CSV's separator is comma, semicolon or tab, whichever its first line has most of. A missing
    value or one that is no number, in a column that is used, is refused by column and line. What
    says only which row each is, a first column without a name or the index of pandas, is no input.
    Parquet needs `pip install -e '.[parquet]'`.

    Args:
        path: of the file, or its http(s) URL, which needs `sha256`
        target: name or place of the target column, from 0; negative from the end
        columns: names or places of the input columns, by default all but the target and the index
        header: whether the first row of a text file is the columns' names; by default it is if none
            of its cells is a number, so that years as names need `true`
        sha256: checksum of the file, hexadecimal
        data_dir: folder that a URL's file is downloaded to once
        batch_size: rows per batch, on each process; `full`: all training rows in each batch
        val_size: share of the rows that are not for testing that is for validation
        test_size: share of all rows that is for testing
        split: number of the random split
        standardize: shift and scale each input and the target to mean 0 and standard deviation 1
            on the training rows
        reshuffle: a new order in every epoch; otherwise that of the first epoch in all
        seed: of the order

    Raises:
        ValueError: if the path is a URL and there is no checksum
    """

    def __init__(
        self,
        path: str,
        target: int | str = -1,
        columns: list[int | str] | None = None,
        header: bool | None = None,
        sha256: str | None = None,
        data_dir: str = "data/tabular",
        batch_size: PositiveInt | Literal["full"] = 64,
        val_size: Share = 0.2,
        test_size: Share = 0.2,
        split: NonNegativeInt = 0,
        standardize: bool = True,
        reshuffle: bool = True,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size, val_size, test_size, split, standardize, reshuffle, seed)
        self.url = path if urlsplit(path).scheme in ("http", "https") else None
        if self.url and not sha256:
            raise ValueError(f"--data.path={path}: a URL needs its file's --data.sha256")
        name = PurePosixPath(unquote(urlsplit(path).path)).name
        self.path = Path(data_dir, name).expanduser() if self.url else Path(path).expanduser()
        self.checksum = f"sha256:{sha256}" if sha256 else None
        self.target, self.columns, self.header = target, columns, header

    def prepare_data(self) -> None:
        if self.url:
            fetch(self.url, self.path, self.checksum)

    def load(self) -> tuple[Tensor, Tensor]:
        if self.checksum and self.path.is_file():
            check(self.path, self.checksum)
        names, values = read_columns(self.path, self.target, self.columns, self.header)
        self.feature_names, self.target_name = names[:-1], names[-1]
        return values[:, :-1], values[:, -1]
