"""Columns of numbers, labels and images as tensors."""

import io
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from datasets import ClassLabel, Features, Image
from datasets.features.features import FeatureType
from datasets.table import table_cast
from datasets.utils.file_utils import xopen
from PIL import Image as pillow
from PIL import ImageOps
from torch import Tensor


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
        self.image_size = image_size
        self.image_mode = image_mode or getattr(features[self.inputs[0]], "mode", None)
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

    def tensors(self, table: pa.Table) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some rows.

        Args:
            table: the rows, with at least the columns `names`

        Returns:
            inputs (batch, channels, height, width) uint8, or (batch, n) floats; and targets
            (batch,), int64 if they are labels, integers or booleans, floats otherwise

        Raises:
            ValueError: if a value is missing, an image is damaged or not like the first
        """
        if self.has_images:
            inputs = self._images(table.column(self.inputs[0]))
        else:
            columns = [self._numbers(table, name) for name in self.inputs]
            dtype = np.result_type(np.float32, *(column.dtype for column in columns))
            inputs = torch.from_numpy(np.stack(columns, 1).astype(dtype, copy=False))
        targets = self._numbers(table, self.target)
        dtype = targets.dtype if targets.dtype.kind == "f" else np.int64
        targets = torch.from_numpy(targets.astype(dtype))  # a copy: theirs cannot be written to
        if self.has_labels and (targets < 0).any():
            raise ValueError(f"--data.target={self.target}: a label is missing (-1)")
        return inputs, targets

    def _numbers(self, table: pa.Table, name: str) -> np.ndarray:
        column = table.column(name)
        option = "target" if name == self.target else "inputs"
        if column.null_count:
            raise ValueError(f"--data.{option}={name}: a value is missing")
        values = column.to_numpy()
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"--data.{option}={name}: a value is missing or not finite")
        return values

    def _images(self, column: pa.ChunkedArray) -> Tensor:
        """Images (batch, channels, height, width), uint8."""
        images = []
        for scalar in column:
            if not scalar.is_valid:
                raise ValueError(f"--data.inputs={self.inputs[0]}: an image is missing")
            try:
                image = self._image(scalar["bytes"].as_buffer(), scalar["path"].as_py())
            except (OSError, SyntaxError, TypeError) as error:  # Pillow's
                message = f"--data.inputs={self.inputs[0]}: an image is damaged: {error}"
                raise ValueError(message) from error
            self.shape = self.shape or image.shape
            if image.shape != self.shape:
                raise ValueError(
                    f"--data.inputs={self.inputs[0]}: an image is {image.shape}, the first was "
                    f"{self.shape}; say --data.image_size or image_mode"
                )
            images.append(image)
        return torch.from_numpy(np.stack(images))

    def _image(self, content: pa.Buffer | None, path: str | None) -> np.ndarray:
        """An image (channels, height, width), uint8."""
        if content is None:
            with xopen(path, "rb") as file:
                content = file.read()
        image = pillow.open(io.BytesIO(content))
        if image.info.get("exif"):
            image = ImageOps.exif_transpose(image)  # photographs that are stored lying on a side
        if self.image_mode and image.mode != self.image_mode:
            image = image.convert(self.image_mode)
        if self.image_size and image.size != (self.image_size, self.image_size):
            image = image.resize((self.image_size, self.image_size), pillow.Resampling.BILINEAR)
        pixels = np.asarray(image)
        if pixels.dtype != np.uint8 or image.mode in ("P", "PA"):
            raise ValueError(
                f"--data.inputs={self.inputs[0]}: an image of mode {image.mode}; "
                "say --data.image_mode=L or RGB"
            )
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
