"""What the columns of a fit's file are, told from their values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from datamodules.loading.schema import Schema
from datamodules.reading.cells import distinct_words, words
from datamodules.reading.kinds import dates_of, kind_of
from datamodules.reading.table import Sheet

if TYPE_CHECKING:  # half a second
    from pandas import DataFrame, Series

ClassTarget = bool | Literal["whole"] | None


def is_class(sheet: Sheet, target: int, labels: "Series", class_target: ClassTarget) -> bool:
    """Whether a target is a class, by its values or because it is said to be; see `infer`."""
    if class_target is True:
        return True
    kind = kind_of(sheet, target, labels, "--data.class_target=true")
    if kind == "number" and class_target == "whole":
        numbers = [sheet.format.number(label) for label in distinct_words(labels)]
        return bool(numbers) and all(number.is_integer() for number in numbers)
    return kind == "category"


def class_names(labels: "Series") -> list[str]:
    """The classes of a column: sorted as numbers, if all are numbers, or else as words.

    Args:
        labels: the column, as text
    """
    names = {label for label in words(labels) if label}
    try:
        return sorted(names, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(names)


def infer(
    sheet: Sheet,
    frame: "DataFrame",
    inputs: Sequence[int],
    targets: Sequence[int],
    categorical: Sequence[int],
    class_target: ClassTarget,
    dates: Literal["number", "parts"],
    refuses: bool,
) -> Schema:
    """The schema of the file of a fit.

    Args:
        sheet: the file
        frame: its rows, with what is `categorical` as text, and so the target of a class
        inputs: places of the input columns
        targets: places of the targets
        categorical: places of columns that are categories whatever their values are
        class_target: whether the target is a class; "whole": if it is words or whole numbers; None:
            if it is words
        dates: whether a date becomes one number or its parts
        refuses: whether a missing value is refused

    Raises:
        ValueError: if a column is of no kind, or several targets are not all numbers
    """
    kinds, timed = {}, []
    for place in inputs:
        name = sheet.names[place]
        kinds[name] = "category" if place in categorical else kind_of(sheet, place, frame[place])
        if kinds[name] == "date":
            found = dates_of(sheet, place, frame[place])
            timed += [name] if (found != found.normalize())[found.notna()].any() else []
    names = None
    if targets and (class_target or (class_target is None and len(targets) == 1)):
        labels = frame[targets[0]]
        if is_class(sheet, targets[0], labels, class_target):
            names = class_names(labels)
    return Schema(
        kinds,
        timed,
        [sheet.names[place] for place in targets],
        names,
        {sheet.names[place]: place for place in (*inputs, *targets)},
        len(sheet.names),
        bool(sheet.header),
        dates,
        refuses,
    )
