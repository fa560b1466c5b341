"""What a fit has learned of a table, with which any other file is read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from datamodules.loading.encoding import Encoding
from datamodules.loading.joined import Rows
from datamodules.loading.schema import Schema
from datamodules.loading.splits import Scale
from datamodules.reading.table import Sheet

if TYPE_CHECKING:  # half a second
    from pandas import DataFrame

TOLERANCE = 1e-6  # of means, in standard deviations; other machines round otherwise


@dataclass
class Fitted:
    """Schema, encoding and scale of the training rows."""

    schema: Schema
    encoding: Encoding
    scale: Scale

    @property
    def state(self) -> dict[str, Any]:
        """Plain values, as checkpoints hold them."""
        scale = {
            name: value.tolist() if isinstance(value, Tensor) else value
            for name, value in vars(self.scale).items()
        }
        return {"schema": self.schema.state, "encoding": self.encoding.state, "scale": scale}

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Fitted":
        """From plain values.

        Raises:
            ValueError: if they are not what `state` gives
        """
        try:
            scale = {
                name: torch.tensor(value, dtype=torch.float64) if isinstance(value, list) else value
                for name, value in state["scale"].items()
            }
            schema, encoding = Schema(**state["schema"]), Encoding(**state["encoding"])
            return cls(schema, encoding, Scale(**scale))
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"the checkpoint's state of --data is damaged: {error!r}") from error

    def inputs(
        self, sheet: Sheet, frame: "DataFrame", places: dict[str, int], first: int
    ) -> Tensor:
        """A frame's inputs as the network sees them, (rows, features), float64; see `Schema`."""
        inputs = self.encoding.encode(self.schema.inputs(sheet, frame, places, first))
        return (inputs - self.scale.input_mean) / self.scale.input_std

    def written(self, inputs: Tensor) -> dict[str, list[float | str]]:
        """Inputs in the file's own units and words, by column: what `inputs` makes of them, undone.

        A category is its most probable word; where an indicator says so, a value is missing, and
        its cell empty. A date of one number is a date again; parts of dates stay parts.

        Args:
            inputs: as the network sees them, (rows, features)
        """
        encoding = self.encoding
        mean, std = self.scale.input_mean, self.scale.input_std
        columns = (inputs.double().cpu() * std + mean).unbind(1)
        numbers, flags = len(encoding.numbers), len(encoding.indicators)
        cells: dict[str, list[float | str]] = {
            name: values.tolist() for name, values in zip(encoding.numbers, columns, strict=False)
        }
        for name, flag in zip(encoding.indicators, columns[numbers:], strict=False):
            missing = (flag > 0.5).tolist()
            cells[name] = ["" if m else cell for cell, m in zip(cells[name], missing, strict=True)]
        first = numbers + flags
        for name, words in encoding.categories.items():
            likely = torch.stack(columns[first : first + len(words)], 1).argmax(1)
            cells[name] = [words[place] for place in likely.tolist()]
            first += len(words)
        return self.schema.columns(cells)

    def rows(self, sheet: Sheet) -> Rows:
        """A whole file, which has targets."""
        places = self.schema.locate(sheet, needs_target=True)
        frame = sheet.frame(list(places.values()), self.schema.texts(places))
        if not len(frame):
            raise ValueError(f"{sheet.path} has no rows")
        inputs = self.encoding.encode(self.schema.inputs(sheet, frame, places))
        return self.scale.rows(inputs, self.schema.read_targets(sheet, frame, places))

    def difference(self, other: "Fitted") -> str | None:
        """What another fit has that this one has not, in words; None if they are equal."""
        if self.schema.kinds != other.schema.kinds or self.schema.targets != other.schema.targets:
            return "other columns"
        if self.schema.class_names != other.schema.class_names:
            return "other classes"
        if self.encoding.categories != other.encoding.categories:
            return "other categories among the training rows"
        if self.encoding.fills.keys() != other.encoding.fills.keys():
            return "another --data.missing"
        for name in ("input", "target"):
            (mean, std), (centre, unit) = (
                [torch.as_tensor(getattr(fit.scale, f"{name}_{of}")) for of in ("mean", "std")]
                for fit in (self, other)
            )
            if mean.shape != centre.shape:
                return "other columns"
            if (torch.stack([mean - centre, std - unit]).abs() > TOLERANCE * unit).any():
                return f"other training {name}s"
        return None
