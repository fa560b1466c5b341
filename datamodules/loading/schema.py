"""What a table's columns are, as the file of the fit says; any other file is read by it."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.loading.missing import MISSING
from datamodules.reading.cells import words
from datamodules.reading.kinds import Kind, date_numbers, dates_of
from datamodules.reading.table import Sheet

if TYPE_CHECKING:  # half a second
    from pandas import DataFrame

UNKNOWN = "a target is missing; with --data.missing=mean such rows are predicted, not learned from"
REFUSED = "a value is missing; say --data.missing=mean, median, indicator or most_frequent"


def written_date(days: float | str, unit: Literal["D", "s"]) -> str:
    """An ISO 8601 date of days since 1970, rounded to days or seconds; an empty one stays so."""
    if days == "":
        return ""
    count = round(days * (86_400 if unit == "s" else 1))
    return str(np.datetime64(count, unit))


@dataclass
class Schema:
    """The columns that are inputs and targets.

    Args:
        kinds: of the input columns, by name, in order
        timed: columns of dates with a time of day
        targets: names of the targets
        class_names: of a target that is a class; None: targets are numbers
        places: of the inputs and the targets in the file of the fit
        width: how many columns that file has
        named: whether they have names
        dates: whether a date becomes one number or its parts
        refuses: whether a missing value is refused
    """

    kinds: dict[str, Kind]
    timed: list[str]
    targets: list[str]
    class_names: list[str] | None
    places: dict[str, int]
    width: int
    named: bool
    dates: Literal["number", "parts"]
    refuses: bool

    @property
    def state(self) -> dict[str, Any]:
        """Plain values, for `Schema(**state)`."""
        return asdict(self)

    @property
    def further_parts(self) -> set[str]:
        """What a date becomes beside its first part, which is missing where they are."""
        dates = [name for name, kind in self.kinds.items() if kind == "date"]
        return {f"{name}.{part}" for name in dates for part in ("month", "day", "weekday", "hour")}

    def locate(
        self, sheet: Sheet, needs_target: bool, others: Collection[int] = ()
    ) -> dict[str, int]:
        """Where the columns are in another file: by name, in any order; others are named.

        Args:
            sheet: the file
            needs_target: whether it must have the targets
            others: places of columns that are used otherwise

        Raises:
            ValueError: if a column is missing
        """
        wanted = [*self.kinds, *(self.targets if needs_target else ())]
        if not self.named:
            if len(sheet.names) == self.width:
                return {name: self.places[name] for name in wanted}
            if len(sheet.names) == len(self.kinds) and not needs_target:
                return {name: place for place, name in enumerate(self.kinds)}
            columns = (
                f"{self.width} columns, as the file of the fit, or its {len(self.kinds)} inputs"
            )
            raise ValueError(
                f"{sheet.path} has {len(sheet.names)} columns without names: give {columns}"
            )
        for name in wanted:
            if (count := sheet.names.count(name)) != 1:
                close = get_close_matches(name, sheet.names, n=1)
                hint = f"; is it {close[0]}?" if close and not count else ""
                raise ValueError(
                    f"{sheet.path} has {count or 'no'} column{'s' * (count > 1)} {name}, which the "
                    f"fit {'had' if name in self.kinds else 'predicts'}{hint}"
                )
        known = {*self.kinds, *self.targets, *(sheet.names[place] for place in others)}
        if extra := [name for name in sheet.names if name not in known]:
            rank_zero_info(f"note: {sheet.path}: not used: {', '.join(extra)}")
        return {name: sheet.names.index(name) for name in wanted}

    def texts(self, places: dict[str, int]) -> list[int]:
        """The places of the columns that are read as they are written."""
        found = [places[name] for name, kind in self.kinds.items() if kind != "number"]
        labels = [places[name] for name in self.targets if self.class_names and name in places]
        return found + labels

    def inputs(
        self, sheet: Sheet, frame: "DataFrame", places: dict[str, int], first: int = 0
    ) -> "DataFrame":
        """The input columns: numbers with NaN, and categories with an empty text, where missing.

        Args:
            sheet: the file
            frame: rows of it
            places: from `locate`
            first: number of the frame's first row

        Raises:
            ValueError: if a value is not of its column's kind, or missing where that is refused
        """
        import pandas

        found: dict[str, np.ndarray] = {}
        for name, kind in self.kinds.items():
            column, values = places[name], frame[places[name]]
            if kind == "number":
                new = {name: sheet.numbers(column, values, first)}
            elif kind == "category":
                new = {name: pandas.Categorical(words(values))}
            else:
                dates = dates_of(sheet, column, values, first)
                parts = date_numbers(dates, self.dates, name in self.timed)
                new = {f"{name}.{part}": numbers for part, numbers in parts.items()}
            for numbers in new.values() if self.refuses else ():
                gone = numbers == "" if kind == "category" else np.isnan(numbers)
                if gone.any():
                    raise sheet.fault(column, first + int(gone.argmax()), REFUSED)
            found |= new
        return pandas.DataFrame(found, columns=list(found))

    def columns(self, cells: dict[str, list[float | str]]) -> dict[str, list[float | str]]:
        """Cells of encoded columns as those of the file, in its order.

        Args:
            cells: of columns as `inputs` names them; dates as days since 1970, or their parts
        """
        found: dict[str, list[float | str]] = {}
        for name, kind in self.kinds.items():
            if kind == "date" and self.dates == "number":
                unit = "s" if name in self.timed else "D"
                found[name] = [written_date(days, unit) for days in cells[f"{name}.days"]]
            elif kind == "date":
                found |= {part: cells[part] for part in cells if part.startswith(f"{name}.")}
            else:
                found[name] = cells[name]
        return found

    def read_targets(self, sheet: Sheet, frame: "DataFrame", places: dict[str, int]) -> Tensor:
        """Targets (rows,) or (rows, targets), float64 (NaN if none is named); or classes, int64.

        Args:
            sheet: the file
            frame: all rows of it
            places: from `locate`

        Raises:
            ValueError: if a value is no number, an unknown class, or missing where that is refused
        """
        columns = [places[name] for name in self.targets]
        if not columns:
            return torch.full((len(frame),), torch.nan, dtype=torch.float64)
        if self.class_names is None:
            values = np.stack([sheet.numbers(place, frame[place]) for place in columns], 1)
            gone = np.isnan(values)
            targets = torch.from_numpy(values if len(columns) > 1 else values[:, 0])
        else:
            targets = self._class_numbers(sheet, columns[0], words(frame[columns[0]]))
            gone = (targets == MISSING).numpy()[:, None]
        if self.refuses and gone.any():
            column = int(gone.any(0).argmax())
            raise sheet.fault(columns[column], int(gone[:, column].argmax()), UNKNOWN)
        return targets

    def _class_numbers(self, sheet: Sheet, column: int, labels: np.ndarray) -> Tensor:
        """The numbers of classes, `MISSING` where there is none, (rows,), int64."""
        numbers = {name: number for number, name in enumerate(self.class_names)} | {"": MISSING}
        targets = torch.tensor([numbers.get(label, -1) for label in labels], dtype=torch.int64)
        if (unknown := targets == -1).any():
            row = int(unknown.int().argmax())
            known = ", ".join(self.class_names[:10])
            raise sheet.fault(column, row, f"{labels[row]!r} is no class of the fit ({known})")
        return targets
