"""What kind a column is of: numbers, categories or dates."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from datamodules.reading.cells import HOW_NUMBERS, OTHER_DATE, OTHER_NUMBER, distinct_words, words
from datamodules.reading.table import Sheet

if TYPE_CHECKING:  # half a second
    from pandas import DatetimeIndex, Series

Kind = Literal["number", "category", "date"]


def kind_of(sheet: Sheet, column: int, values: "Series", option: str = "") -> Kind:
    """The kind of a column: of numbers if one of its values is a number, of dates if all are dates.

    Args:
        sheet: that the column is of
        column: its place
        values: all of them, from the sheet's frame
        option: what makes it categories whatever its values are, for messages

    Raises:
        ValueError: if some values are numbers and one is not, or if all look like numbers or dates
            that are written in a way that is not known; it names the line and the way on
    """
    if values.dtype.kind in "iufbM":
        return {"b": "category", "M": "date"}.get(values.dtype.kind, "number")
    texts = distinct_words(values)
    others = [text for text in texts if sheet.format.number(text) is None]
    if not others:
        return "number"
    option = option or f"--data.categorical=[{sheet.names[column]}]"
    as_category = f"{option} takes the column as categories"
    if len(others) < len(texts):
        what, hint = f"{others[0]!r} is no finite number", as_category
        if OTHER_NUMBER.fullmatch(others[0]):
            hint = f"{HOW_NUMBERS}; {as_category}"
    elif sheet.format.dates(texts).notna().all():
        return "date"
    elif all(map(OTHER_DATE.fullmatch, texts)):
        what = f"{texts[0]!r} may be a date"
        hint = f"say --data.date_format, such as %d.%m.%Y; {as_category}"
    elif all(map(OTHER_NUMBER.fullmatch, texts)):
        what = f"{texts[0]!r} is no finite number"
        hint = f"{HOW_NUMBERS}; {as_category}"
    else:
        return "category"
    row = int((words(values) == others[0]).argmax())
    raise sheet.fault(column, row, f"{what}; {hint}")


def dates_of(sheet: Sheet, column: int, values: "Series", first: int = 0) -> "DatetimeIndex":
    """A column as dates; NaT where a value is missing.

    Args:
        sheet: that the column is of
        column: its place
        values: from the sheet's frame
        first: number of the frame's first row

    Raises:
        ValueError: if one is no date; it names the column and the line
    """
    import pandas

    if values.dtype.kind == "M":
        return pandas.DatetimeIndex(values)
    texts = words(values)
    codes, distinct = pandas.factorize(texts)
    dates = sheet.format.dates(distinct.tolist())[codes] if len(distinct) else distinct
    dates = pandas.DatetimeIndex(dates)
    if (wrong := np.asarray(dates.isna()) & (texts != "")).any():
        row = int(wrong.argmax())
        raise sheet.fault(column, first + row, f"{texts[row]!r} is no date; see --data.date_format")
    return dates


def date_numbers(dates: "DatetimeIndex", how: str, has_time: bool) -> dict[str, np.ndarray]:
    """Dates as numbers, (rows,) float64 each, by name; NaN where a date is missing.

    Args:
        dates: from `dates_of`
        how: "number": days since 1970; "parts": year, month, day of the month, and day of the week
            from 0 for Monday
        has_time: whether parts have the hour, too
    """
    import pandas

    if how == "number":
        return {
            "days": np.asarray((dates - pandas.Timestamp("1970-01-01")) / pandas.Timedelta(days=1))
        }
    parts = {"year": dates.year, "month": dates.month, "day": dates.day}
    parts["weekday"] = dates.day_of_week
    if has_time:
        parts["hour"] = dates.hour + dates.minute / 60 + dates.second / 3600
    return {name: np.asarray(values, dtype=np.float64) for name, values in parts.items()}
