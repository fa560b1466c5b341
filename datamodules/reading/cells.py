"""What a cell of a table says: a number, a date, a word, or nothing."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # half a second
    from pandas import DatetimeIndex, Series

MISSING = {"", "-", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?"}
# As files write them; whatever else is one of these but for its case is found more slowly.
MISSING_AS_WRITTEN = sorted(
    {form(word) for word in MISSING for form in (str, str.upper, str.title)} | {"NaN", "NaT"}
)
ISO_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?", re.ASCII
)
OTHER_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}([T ].*)?", re.ASCII)
OTHER_NUMBER = re.compile(r"[+-]?[$€£]?\s?\d[\d.,_'\s]*([eE][+-]?\d+)?\s?[%€]?")
HOW_NUMBERS = "--data.decimal=, or --data.thousands=, says how numbers are written"
WHOLE = re.compile(r"([+-]?\d+)\.0", re.ASCII)
BOOLEANS = {"true": "True", "false": "False"}  # one word, however a program writes it


@dataclass(frozen=True)
class Format:
    """How a file writes numbers and dates.

    Args:
        decimal: what separates whole from fraction, `.` or `,`
        thousands: what separates groups of three digits
        date: of dates that are not ISO 8601, as `datetime.strptime` takes it

    Raises:
        ValueError: if what separates thousands is not one character, or is the decimal point
    """

    decimal: str = "."
    thousands: str | None = None
    date: str | None = None

    def __post_init__(self) -> None:
        if self.thousands is not None and (
            len(self.thousands) != 1 or self.thousands == self.decimal
        ):
            other = f"one character other than --data.decimal={self.decimal}"
            raise ValueError(f"--data.thousands={self.thousands}: give {other}")

    def number(self, cell: str) -> float | None:
        """The cell as a number, None if it is none.

        As files have it, not as Python's source: 2021_01 is a name, and so are digits of other
        scripts.
        """
        if self.thousands and self.thousands in cell:
            group, point = re.escape(self.thousands), re.escape(self.decimal)
            grouped = rf"[+-]?\d{{1,3}}({group}\d{{3}})+({point}\d*)?"
            if not re.fullmatch(grouped, cell):
                return None
            cell = cell.replace(self.thousands, "")
        if self.decimal != ".":
            if "." in cell:
                return None
            cell = cell.replace(self.decimal, ".")
        try:
            return float(cell) if "_" not in cell and cell.isascii() else None
        except ValueError:
            return None

    def dates(self, words: list[str]) -> "DatetimeIndex":
        """Words as dates, without a time zone (in UTC, where they have one); NaT where one is none.

        Args:
            words: none of them missing
        """
        import pandas

        if self.date is None:
            words = [word if ISO_DATE.fullmatch(word) else None for word in words]
        dates = pandas.to_datetime(
            pandas.Series(words, dtype=object),
            format=self.date or "ISO8601",
            errors="coerce",
            utc=True,
        )
        return pandas.DatetimeIndex(dates).tz_localize(None)


def is_missing(word: str) -> bool:
    """Whether a cell says that there is no value."""
    return word.lower() in MISSING


def word(value: object) -> str:
    """A cell's text; empty if it is missing, and True or False for every way to write these."""
    text = str(value).strip()
    return "" if is_missing(text) else BOOLEANS.get(text.lower(), text)


def mapped(column: "Series", function: Callable[[str], object]) -> np.ndarray:
    """A function of each cell's text, computed once for equal cells; a missing one is empty text.

    Args:
        column: of anything
        function: of texts as from `word`

    Returns:
        (rows,), objects
    """
    codes, distinct = column.factorize()
    values = np.empty(len(distinct) + 1, dtype=object)
    values[:] = [function(text) for text in (*map(word, distinct), "")]
    return values[codes]  # the code of a missing value is -1, the last


def words(column: "Series") -> np.ndarray:
    """A column's texts, (rows,), objects; empty where a value is missing.

    3.0 is 3: a column of whole numbers is written like that once a value is missing.
    """
    return mapped(column, lambda text: whole[1] if (whole := WHOLE.fullmatch(text)) else text)


def verbatim(column: "Series") -> np.ndarray:
    """A column's texts as they are written, (rows,), objects; empty where a value is missing."""
    return np.where(column.isna(), "", column.astype(str).str.strip()).astype(object)


def distinct_words(column: "Series") -> list[str]:
    """The texts that a column has, but for missing ones."""
    return [text for text in dict.fromkeys(map(word, column.dropna().unique())) if text]
