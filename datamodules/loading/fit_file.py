"""The file of a fit: which of its columns are for what, and what is in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from datamodules.loading.doubts import constant, names_groups, repeated, same_as_target
from datamodules.loading.infer import ClassTarget, infer
from datamodules.loading.missing import is_known
from datamodules.loading.partition import PARTS, Partition
from datamodules.reading.cells import words
from datamodules.reading.columns import Column, choose, find
from datamodules.reading.kinds import dates_of, kind_of
from datamodules.reading.table import Sheet

if TYPE_CHECKING:  # half a second
    from pandas import Series

KEYS = ("id", "group", "time", "split_column")


@dataclass(frozen=True)
class Roles:
    """What the user says of the columns: see the arguments of `Tabular`."""

    target: Column | Sequence[Column]
    columns: Sequence[Column] | None
    ignore: Sequence[Column]
    categorical: Sequence[Column]
    class_target: ClassTarget
    dates: Literal["number", "parts"]
    refuses: bool
    id: Column | None
    group: Column | None
    time: Column | None
    split_column: Column | None


def check_names(
    sheet: Sheet, inputs: Sequence[int], targets: Sequence[int], class_target: ClassTarget
) -> None:
    """Refuses columns that have one name, and several targets of classes.

    Raises:
        ValueError: with the column or option
    """
    names = [sheet.names[place] for place in (*inputs, *targets)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{sheet.path}: {names.count(name)} columns are called {name}: rename them, or say "
                "which with --data.columns"
            )
    if class_target and len(targets) > 1:
        said = str(class_target).lower()
        raise ValueError(f"--data.class_target={said}: a class is one column, not several")


class FitFile:
    """The rows of a fit.

    Args:
        sheet: the file
        roles: of its columns

    Attributes:
        schema: of the inputs and targets
        inputs: numbers with NaN, and categories with an empty text, where a value is missing
        targets: (rows,) or (rows, targets), float64, or class numbers, int64
        keys: the columns `id`, `group`, `time` and `split_column`, as far as they are given
        whose: columns whose name says that they tell whose a row is, as words
    """

    def __init__(self, sheet: Sheet, roles: Roles) -> None:
        self.sheet = sheet
        self.places = {
            option: find(column, sheet.names, f"--data.{option}")
            for option in KEYS
            if (column := getattr(roles, option)) is not None
        }
        words_in = [place for option, place in self.places.items() if option != "time"]
        ignored = [find(column, sheet.names, "--data.ignore") for column in roles.ignore]
        inputs, targets = choose(roles.target, roles.columns, sheet, words_in + ignored)
        check_names(sheet, inputs, targets, roles.class_target)
        categorical = [find(c, sheet.names, "--data.categorical") for c in roles.categorical]
        whose = [place for place in (*ignored, *inputs) if names_groups(sheet.names[place])]
        used = [*inputs, *targets, *self.places.values(), *whose]
        texts = {*categorical, *words_in, *(targets if roles.class_target else ())}
        frame = sheet.frame(list(dict.fromkeys(used)), texts | (set(whose) - set(inputs)))
        if not len(frame):
            raise ValueError(f"{sheet.path} has no rows")
        how = (roles.class_target, roles.dates, roles.refuses)
        self.schema = infer(sheet, frame, inputs, targets, categorical, *how)
        self.inputs = self.schema.inputs(sheet, frame, self.schema.places)
        self.targets = self.schema.read_targets(sheet, frame, self.schema.places)
        self.keys = {option: self._key(option, frame[p]) for option, p in self.places.items()}
        whose += [self.places["id"]] if "id" in self.places else []
        self.whose = {sheet.names[place]: words(frame[place]) for place in whose}

    def _key(self, option: str, values: "Series") -> np.ndarray:
        """One of the columns in `places`: times as numbers, others as words.

        Raises:
            ValueError: if a value is missing that must not be
        """
        place = self.places[option]
        if option != "time":
            found = words(values)
            gone = found == ""
        elif kind_of(self.sheet, place, values) == "number":
            found = self.sheet.numbers(place, values)
            gone = np.isnan(found)
        else:
            dates = dates_of(self.sheet, place, values)
            found, gone = dates.to_numpy(), np.asarray(dates.isna())
        if option != "id" and gone.any():
            what = f"a value is missing, which --data.{option} needs"
            raise self.sheet.fault(place, int(gone.argmax()), what)
        return found

    def partition(self, val_size: float, test_size: float, stratify: bool | None) -> Partition:
        """How the rows are shared out.

        Args:
            val_size: share for validation
            test_size: share for testing
            stratify: whether by class; None: if the target is one

        Raises:
            ValueError: if a number is to be shared out by class, or `split_column` has other words
        """
        is_class = self.schema.class_names is not None
        if stratify and not is_class:
            raise ValueError("--data.stratify=true: the target is a number, not a class")
        strata = None
        if is_class and stratify is not False:
            known = is_known(self.targets)
            # Rows without a class are shared out as those of the commonest one.
            strata = torch.where(known, self.targets, self.targets[known].mode().values)
        groups = parts = None
        if "group" in self.keys:
            distinct = np.unique(self.keys["group"].astype(str), return_inverse=True)[1]
            groups = torch.from_numpy(distinct)
        if "split_column" in self.keys:
            parts = torch.tensor([PARTS.get(w.lower(), -1) for w in self.keys["split_column"]])
            if (unknown := parts < 0).any():
                row = int(unknown.int().argmax())
                what = f"{self.keys['split_column'][row]!r} is none of train, val and test"
                raise self.sheet.fault(self.places["split_column"], row, what)
        times = self.keys.get("time")
        return Partition(len(self.targets), val_size, test_size, strata, groups, times, parts)

    def doubts(self, train: Tensor, is_random: bool) -> list[str]:
        """What of the table and its split may mislead.

        Args:
            train: numbers of the training rows
            is_random: whether they were chosen by chance, or by class
        """
        names, classes = self.schema.targets, self.schema.class_names
        found = [*constant(self.inputs, train)]
        found += same_as_target(self.inputs, self.targets, names, classes)
        return [*found, *(repeated(self.whose, train) if is_random else ())]
