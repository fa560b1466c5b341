"""A table of your own: a file, or a URL with a checksum."""

from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal
from urllib.parse import unquote, urlsplit

from jsonargparse.typing import NonNegativeInt, PositiveInt

from datamodules.loading.encoding import Missing
from datamodules.loading.fit_file import FitFile, Roles
from datamodules.loading.infer import ClassTarget
from datamodules.loading.partition import check_ways
from datamodules.loading.splits import AtLeastTwo, Share
from datamodules.mixed import MixedData
from datamodules.reading.cells import Format
from datamodules.reading.columns import Column
from datamodules.reading.download import check, fetch
from datamodules.reading.sheets import read_sheet
from datamodules.reading.table import Sheet
from datamodules.reading.text import Dialect


class Tabular(MixedData):
    """A table of numbers, categories and dates: a CSV, Parquet or whitespace file.

    Words and booleans are categories, ISO 8601 dates are dates, the rest are numbers. Inputs are
    the numbers, then the categories, one-hot. What is learned (means, categories) is learned from
    the training rows alone and kept in the checkpoint. A category that is not among them is all
    zeros. Parquet needs `pip install -e '.[parquet]'`; text may be compressed by gzip.

    Args:
        path: of the file, or its http(s) URL, which needs `sha256`
        target: name or place of the target column, from 0, negative from the end; or several; by
            default the last one, for `em` none: []
        columns: names or places of the input columns, by default all but the target, the index, a
            first column without a name, and those that `ignore`, `id`, `group` and `split_column`
            name
        ignore: columns that are no inputs
        categorical: columns of numbers that are categories, such as codes
        class_target: whether the target is a class; `whole`: it is if its values are words or whole
            numbers, which `classify` and `distill` say by themselves; by default it is if they are
            words
        id: column that identifies the rows of predictions
        missing: `refuse` missing values; or replace those of numbers by the training rows' `mean`,
            `median` or `most_frequent` value, or, with `indicator`, by the mean, with a further
            input that says where. A missing category is replaced by the most frequent one with
            `most_frequent`, and otherwise is a category of its own. Missing targets do not count
        max_categories: of one column; of more, the rarest are together one, which is all zeros
        dates: a date becomes the `number` of days since 1970, or `parts`: year, month, day and
            weekday, with the hour if there are times
        date_format: of dates that are not ISO 8601, such as %d.%m.%Y
        standardize: shift and scale each input and the target to mean 0 and standard deviation 1
            on the training rows; categories and classes stay as they are
        val_size: share of the rows that are not for testing that is for validation
        test_size: share of all rows that is for testing
        split: number of the random split
        stratify: whether each part has each class's share of rows; by default it has, for classes
        group: column of what must not be in two parts, such as a patient; sizes are shares of
            groups
        time: column of numbers or dates by which the last rows are for testing, and those before
            them for validation
        split_column: column that says train, val or test; without val, `val_size` is taken from
            train
        folds: parts that all rows are cut into, one of them for testing in place of `test_size`
        fold: number of the part that is for testing
        repeat: number of the random cutting
        val_path: a file whose rows are for validation, in place of `val_size`
        test_path: a file whose rows are for testing, in place of `test_size`
        predict: a file to predict, read in passing; it needs no target, and its columns may be in
            any order
        batch_size: rows per batch, on each process; `full`: all training rows in each batch
        reshuffle: a new order in every epoch; otherwise that of the first epoch in all
        seed: of the order
        header: whether the first row of a text file is the columns' names; by default it is if none
            of its cells is a number, so that years as names need `true`
        separator: of the cells of a text file; by default of a .csv or .tsv file the comma,
            semicolon, tab or bar, whichever its first line has most of, and of others whitespace
        decimal: decimal point of the numbers in text files
        thousands: what separates groups of three digits there
        comment: what lines of a text file begin with that are no rows
        encoding: of a text file; by default UTF-8, or UTF-16 where the file says so
        sha256: checksum of the file, hexadecimal
        data_dir: folder that a URL's file is downloaded to once

    Raises:
        ValueError: if the path is a URL and there is no checksum, or two arguments exclude each
            other
    """

    headings: ClassVar = {
        "columns": "target columns ignore categorical class_target id",
        "values": "missing max_categories dates date_format standardize",
        "splits": "val_size test_size split stratify group time split_column",
        "folds": "folds fold repeat",
        "further files": "val_path test_path predict",
        "batches": "batch_size reshuffle seed",
        "how a text file is written": "header separator decimal thousands comment encoding",
        "download": "sha256 data_dir",
    }

    def __init__(
        self,
        path: str,
        target: Column | list[Column] | None = None,
        columns: list[Column] | None = None,
        ignore: list[Column] | None = None,
        categorical: list[Column] | None = None,
        class_target: ClassTarget = None,
        id: Column | None = None,
        missing: Missing = "refuse",
        max_categories: AtLeastTwo = 100,
        dates: Literal["number", "parts"] = "number",
        date_format: str | None = None,
        standardize: bool = True,
        val_size: Share = 0.2,
        test_size: Share = 0.2,
        split: NonNegativeInt = 0,
        stratify: bool | None = None,
        group: Column | None = None,
        time: Column | None = None,
        split_column: Column | None = None,
        folds: PositiveInt | None = None,
        fold: NonNegativeInt = 0,
        repeat: NonNegativeInt = 0,
        val_path: str | None = None,
        test_path: str | None = None,
        predict: str | None = None,
        batch_size: PositiveInt | Literal["full"] = 64,
        reshuffle: bool = True,
        seed: NonNegativeInt = 0,
        header: bool | None = None,
        separator: str | None = None,
        decimal: Literal[".", ","] = ".",
        thousands: str | None = None,
        comment: str | None = None,
        encoding: str | None = None,
        sha256: str | None = None,
        data_dir: str = "data/tabular",
    ) -> None:
        plain = (batch_size, val_size, test_size, split, standardize, reshuffle, seed)
        super().__init__(*plain, folds, fold, repeat)
        self.url = path if urlsplit(path).scheme in ("http", "https") else None
        if self.url and not sha256:
            raise ValueError(f"--data.path={path}: a URL needs its file's --data.sha256")
        name = PurePosixPath(unquote(urlsplit(path).path)).name
        self.path = Path(data_dir, name).expanduser() if self.url else Path(path).expanduser()
        self.checksum = f"sha256:{sha256}" if sha256 else None
        given = {"val": val_path, "test": test_path}
        self.files = {part: Path(file).expanduser() for part, file in given.items() if file}
        self.predict = Path(predict).expanduser() if predict else None
        self.id, self.header, self.stratify = id, header, stratify
        self.missing, self.max_categories = missing, max_categories
        separator = "\t" if separator == "\\t" else separator  # as typed in a shell
        self.dialect = Dialect(
            separator, comment, encoding, Format(decimal, thousands, date_format)
        )
        self.has_targets = target != []
        self.roles = Roles(
            *(
                -1 if target is None else target,
                columns,
                ignore or [],
                categorical or [],
                class_target,
                dates,
            ),
            *(missing == "refuse", id, group, time, split_column),
        )
        check_ways(folds, test_path, group=group, time=time, split_column=split_column)

    def prepare_data(self) -> None:
        if self.url:
            fetch(self.url, self.path, self.checksum)

    @property
    def numeric_target(self) -> str | None:
        hint = "--data.target without --data.class_target=true"
        is_known = hasattr(self, "input_shape")  # not yet where a checkpoint will tell
        return hint if is_known and not self.class_names else None

    def sheet(self, path: Path) -> Sheet:
        return read_sheet(path, self.header, self.dialect)

    def read(self) -> FitFile:
        if self.checksum and self.path.is_file():
            check(self.path, self.checksum)
        return FitFile(self.sheet(self.path), self.roles)
