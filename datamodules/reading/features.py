"""Columns of numbers, labels and images as tensors."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from datasets import ClassLabel, Features, Image
from datasets.features.features import FeatureType
from datasets.table import table_cast
from torch import Tensor

from datamodules.reading.pictures import Pictures, Unreadable


def numeric(feature: FeatureType) -> bool:
    """Whether a column is of numbers: integers, floats, booleans or class labels."""
    kind = getattr(feature, "pa_type", None)
    if kind is None or isinstance(feature, Image):
        return False
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


class Columns:
    """Which columns are the inputs and which is the target, and how they become tensors.

    Args:
        features: the names and types of all columns
        inputs: name of a column of images or numbers, or names of columns of numbers
        target: name of a column of numbers or labels
        image_size: images are resized to so many pixels, each way
        image_mode: images are converted to grey (L) or colours (RGB)
        folders: of the dataset, in which images that are files must lie
        origin: says of a row's number in the split where the row is

    Raises:
        ValueError: if there is no such column, or it is of another kind
    """

    def __init__(
        self,
        features: Features,
        inputs: str | list[str],
        target: str,
        image_size: int | None = None,
        image_mode: Literal["L", "RGB"] | None = None,
        folders: Iterable[Path] = (),
        origin: Callable[[int], str] = "row {}".format,
    ) -> None:
        self.inputs, self.target = [inputs] if isinstance(inputs, str) else list(inputs), target
        for option, name in [*(("inputs", name) for name in self.inputs), ("target", target)]:
            if name not in features:
                there = ", ".join(features)
                raise ValueError(f"--data.{option}={name}: no such column; there are {there}")
            image = option == "inputs" and isinstance(features[name], Image)
            if not image and not numeric(features[name]):
                kind = getattr(features[name], "dtype", type(features[name]).__name__)
                raise ValueError(
                    f"--data.{option}={name}: a column of {kind} is neither numbers nor "
                    + ("images" if option == "inputs" else "labels")
                )
        if target in self.inputs or not self.inputs:
            problem = "has the target among them" if self.inputs else "names no column"
            raise ValueError(f"--data.inputs={inputs} {problem}")
        self.has_images = isinstance(features[self.inputs[0]], Image)
        if len(self.inputs) > 1 and any(isinstance(features[name], Image) for name in self.inputs):
            raise ValueError(f"--data.inputs={inputs}: images are one column")
        self.has_labels = isinstance(features[target], ClassLabel)
        mode = image_mode or getattr(features[self.inputs[0]], "mode", None)
        self.pictures, self.origin = Pictures(image_size, mode, folders), origin
        self.names = list(dict.fromkeys([*self.inputs, target]))
        self.schema = Features({name: features[name] for name in self.names}).arrow_schema
        self.shape: tuple[int, ...] | None = None

    def cast(self, table: pa.Table) -> pa.Table:
        """The columns `names` of some rows of a file, in the types that they have in the dataset.

        Raises:
            ValueError: if the file has another type for one of them, of which there is no way
        """
        table = table.select(self.names)
        if table.schema == self.schema:
            return table
        try:
            return table_cast(table, self.schema)
        except (pa.ArrowException, TypeError) as error:
            raise ValueError(f"--data.path: its files' types differ: {error}") from error

    def tensors(self, table: pa.Table, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some rows.

        Args:
            table: the rows, with at least the columns `names`
            rows: their numbers in the split, for messages

        Returns:
            inputs (batch, channels, height, width) uint8, or (batch, n) floats; and targets
            (batch,), int64 if they are labels, integers or booleans, floats otherwise

        Raises:
            ValueError: if a value is missing, an image is damaged or not like the first
        """
        if self.has_images:
            inputs = self._images(table.column(self.inputs[0]), rows)
        else:
            columns = [self._numbers(table, name, rows) for name in self.inputs]
            dtype = np.result_type(np.float32, *(column.dtype for column in columns))
            inputs = torch.from_numpy(np.stack(columns, 1).astype(dtype, copy=False))
        targets = self._numbers(table, self.target, rows)
        dtype = targets.dtype if targets.dtype.kind == "f" else np.int64
        targets = torch.from_numpy(targets.astype(dtype))  # a copy: theirs cannot be written to
        if self.has_labels and (missing := targets < 0).any():
            place = self.origin(rows[int(missing.int().argmax())])
            raise ValueError(f"{place}: --data.target={self.target}: a label is missing (-1)")
        return inputs, targets

    def _numbers(self, table: pa.Table, name: str, rows: Sequence[int]) -> np.ndarray:
        column = table.column(name)
        option = "target" if name == self.target else "inputs"
        if column.null_count:
            place = self.origin(rows[column.is_null().to_pylist().index(True)])
            raise ValueError(f"{place}: --data.{option}={name}: a value is missing")
        values = column.to_numpy()
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            place = self.origin(rows[int(np.isfinite(values).argmin())])
            raise ValueError(f"{place}: --data.{option}={name}: a value is missing or not finite")
        return values

    def _images(self, column: pa.ChunkedArray, rows: Sequence[int]) -> Tensor:
        """Images (batch, channels, height, width), uint8."""
        images = []
        for row, scalar in zip(rows, column, strict=True):
            content = scalar["bytes"].as_buffer() if scalar.is_valid else None
            path = scalar["path"].as_py() if scalar.is_valid else None
            try:
                image = self.pictures.read(content, path)
                self.shape = self.shape or image.shape
                if image.shape != self.shape:
                    sizes = f"is {image.shape}, the first was {self.shape}"
                    raise Unreadable(f"an image {sizes}; say --data.image_size or image_mode")
            except Unreadable as error:
                place = path if content is None and path else self.origin(row)
                message = f"{place}: --data.inputs={self.inputs[0]}: {error}"
                raise ValueError(message) from error
            images.append(image)
        return torch.from_numpy(np.stack(images))
