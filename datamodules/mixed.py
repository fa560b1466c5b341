"""Columns of numbers, categories and dates: encoded by what the training rows teach."""

from abc import abstractmethod
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.loading.encoding import Missing, learn
from datamodules.loading.fit_file import FitFile
from datamodules.loading.fitted import Fitted
from datamodules.loading.joined import NumberedRows, Rows
from datamodules.loading.loader import Loader, data_rank
from datamodules.loading.new_rows import CHUNK, NewRows
from datamodules.loading.partition import Parts
from datamodules.loading.splits import Scale, Split
from datamodules.reading.cells import verbatim
from datamodules.reading.columns import Column, find
from datamodules.reading.digest import digest_rows
from datamodules.reading.table import Sheet
from datamodules.tabular import Part, TabularData


class MixedData(TabularData):
    """A table that is read by what its training rows teach, and so are other files.

    A subclass says how files are read, and sets the attributes.

    Attributes:
        files: further ones by what their rows are for, "val" or "test", where there are
        predict: a file to predict, if there is one
        id: column that identifies rows
        id_option: that it was given by, for messages
        missing: what becomes of missing values, see `learn`
        max_categories: of one column
        stratify: whether splits are by class; None: if the target is one
    """

    files: dict[str, Path]
    predict: Path | None
    id: Column | None
    id_option: str = "--data.id"
    missing: Missing
    max_categories: int
    stratify: bool | None

    @abstractmethod
    def sheet(self, path: Path) -> Sheet:
        """A file."""

    @abstractmethod
    def read(self) -> FitFile:
        """Reads the file of the fit."""

    @cached_property
    def table(self) -> FitFile:
        """What `read` returns, read once."""
        return self.read()

    @cached_property
    def fits(self) -> dict[int, Fitted]:
        """What the training rows of a split have taught, by the split's number."""
        return {}

    @property
    def fitted(self) -> Fitted:
        """What those of `--data.split` have taught, or a checkpoint says that they have."""
        if self.split not in self.fits:
            self.splits(self.split)
        return self.fits[self.split]

    @property
    def targets(self) -> Tensor:
        return self.table.targets

    @property
    def target_names(self) -> list[str]:
        """Of the columns of the targets."""
        return self.fitted.schema.targets

    def load(self) -> tuple[Tensor, Tensor]:
        """All rows as --data.split encodes them."""
        return self.encode(self.split, self.rows_of(self.split)[0])[0], self.targets

    def rows_of(self, split: int) -> Parts:
        sizes = [
            0.0 if part in self.files else size
            for part, size in (("val", self.val_size), ("test", self.test_size))
        ]
        partition = self.table.partition(*sizes, self.stratify)
        if self.folds is None:
            return partition.split(split)
        return partition.fold(self.folds, self.fold, split + self.repeat)

    def encode(self, split: int, train: Tensor) -> tuple[Tensor, Scale]:
        columns = self.table.inputs
        if split in self.fits:
            return self.fits[split].encoding.encode(columns), self.fits[split].scale
        if split == self.split:
            self._warn(train)
        how = (self.missing, self.max_categories, self.table.schema.further_parts)
        encoding = learn(columns.iloc[train.numpy()], *how)
        inputs, numbers = encoding.encode(columns), len(encoding.numbers)
        scale = Scale.of(inputs[train], self.targets[train], numbers, self.standardize)
        self.fits[split] = Fitted(self.table.schema, encoding, scale)
        return inputs, scale

    def _warn(self, train: Tensor) -> None:
        is_random = not {"group", "time", "split_column"} & set(self.table.keys)
        for line in self.table.doubts(train, is_random):
            rank_zero_info(f"warning: {line}")

    def splits(self, split: int) -> Split:
        if split not in self._splits:
            found = super().splits(split)
            of_files = {part: self._file(part, split) for part in self.files}
            self._splits[split] = replace(found, **of_files)
        return self._splits[split]

    def _file(self, part: Part, split: int) -> Rows:
        return self.fits[split].rows(self.sheet(self.files[part]))

    def part(self, part: Part, split: int) -> Rows:
        if part in self.files and split in self.fits and split not in self._splits:
            return self._file(part, split)  # the file of the fit may be gone
        return super().part(part, split)

    def setup(self, stage: str) -> None:
        files = {
            "predict": self.predict,
            "validate": "val" in self.files,
            "test": "test" in self.files,
        }
        # Then a checkpoint comes, whose state is enough.
        if not files.get(stage) or self.split in self.fits:
            self._show()

    def _show(self) -> None:
        """Sets the attributes that say what the data are."""
        fit = self.fitted
        self.feature_names, self.numbers = fit.encoding.feature_names, len(fit.encoding.numbers)
        self.blocks = [len(known) for known in fit.encoding.categories.values()]
        self.input_shape = torch.Size((len(self.feature_names),))
        self.target_name = fit.schema.targets[0] if len(fit.schema.targets) == 1 else None
        self.class_names = fit.schema.class_names
        for name, value in vars(fit.scale).items():
            setattr(self, name, value)

    @cached_property
    def rows_digest(self) -> str:
        """A hash of the rows of the fit's file, and of which of them are trained on."""
        return digest_rows(self.table.inputs, self.targets, self.rows_of(self.split)[0])

    def state_dict(self) -> dict[str, Any]:
        return self.fitted.state | {"rows": self.rows_digest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with what a fit has learned.

        Raises:
            ValueError: if the file of the fit teaches something else, or a fit goes on with other
                rows, or with the same in another order
        """
        fit, mine = Fitted.of(state_dict), self.fits.get(self.split)
        if mine and (what := mine.difference(fit)):
            raise ValueError(
                f"--data has {what} than the network was trained on: give it the file, columns, "
                "split and sizes of the fit"
            )
        known = state_dict.get("rows")  # older checkpoints do not say it
        if mine is None:
            self.rows_digest = known  # and the file of the fit may be gone
        elif self.goes_on and known and known != self.rows_digest:
            raise ValueError(
                "--data has other rows than the network was trained on, or the same in another "
                "order: train anew without --ckpt_path"
            )
        if mine is None or mine.state != fit.state:
            self.fits[self.split] = fit
            self._splits.pop(self.split, None)
            self._cast.clear()
        self._show()

    def predict_dataloader(self) -> Loader | NewRows:
        if self.predict is not None:
            size = CHUNK if self.batch_size == "full" else self.batch_size
            rank = data_rank(self.trainer)
            sheet = self.sheet(self.predict)
            self.new_rows = NewRows(
                self.fitted, sheet, self.id, size, self.dtype, *rank, self.id_option
            )
            return self.new_rows
        rows = self._rows(self.split, "test", self.dtype)
        in_file = "test" in self.files
        numbers = torch.arange(len(rows)) if in_file else self.rows_of(self.split)[2]
        return self._loader("test", NumberedRows(rows, numbers))

    def written(self, samples: Tensor) -> dict[str, list[float | str]]:
        """Generated rows (rows, features) as cells of the table: see `Fitted.written`."""
        return self.fitted.written(samples)

    def identifiers(self, rows: Tensor) -> list[str]:
        """The --data.id of some rows, or their numbers, as text.

        Args:
            rows: third part of one of the last predict batches, (rows,)
        """
        if self.predict is not None:
            return self.new_rows.identifiers(rows)
        if self.id is None:
            return [str(row) for row in rows.tolist()]
        return self._test_ids[rows.cpu().numpy()].tolist()

    @cached_property
    def _test_ids(self) -> np.ndarray:
        sheet = self.sheet(self.files["test"]) if "test" in self.files else self.table.sheet
        place = find(self.id, sheet.names, self.id_option)
        return verbatim(sheet.frame([place], [place])[place])
