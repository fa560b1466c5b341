"""Columns of numbers and categories as one array, by what the training rows have taught."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:  # half a second
    from pandas import DataFrame, Series
    from sklearn.compose import ColumnTransformer

Missing = Literal["refuse", "mean", "median", "indicator", "most_frequent"]

MOST_DISTINCT, FEW_ROWS = 0.9, 20  # from there on words tell rows apart, and are no categories


@dataclass
class Encoding:
    """What the training rows have taught: plain values, from which scikit-learn's parts are made.

    Args:
        numbers: names of the columns of numbers, in order
        fills: what a missing value becomes, by column; a missing category without one is a category
            of its own if the training rows have it, and otherwise unknown
        indicators: columns of numbers for each of which a further one says where it was missing
        categories: of each column of categories; what is not among them is unknown: all zeros
    """

    numbers: list[str]
    fills: dict[str, float | str]
    indicators: list[str]
    categories: dict[str, list[str]]

    @property
    def feature_names(self) -> list[str]:
        """Of the encoded columns: numbers, where they were missing, and one for each category."""
        of_categories = [
            f"{name}={word or 'missing'}"
            for name, words in self.categories.items()
            for word in words
        ]
        return [*self.numbers, *(f"{name}=missing" for name in self.indicators), *of_categories]

    @property
    def state(self) -> dict[str, Any]:
        """Plain values, for `Encoding(**state)`."""
        return asdict(self)

    def transformer(self) -> "ColumnTransformer":
        """Scikit-learn's own, fitted to one row of what was learned: each fill is its mean."""
        import pandas
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import MissingIndicator, SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        row = {name: self.fills.get(name, 0.0) for name in self.numbers}
        for name, known in self.categories.items():
            row[name] = float(known.index(self.fills[name])) if name in self.fills else 0.0
        codes = [np.arange(len(known), dtype=np.float64) for known in self.categories.values()]
        one_hot = OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False)
        parts = [
            ("numbers", SimpleImputer(), self.numbers),
            ("missing", MissingIndicator(features="all"), self.indicators),
            ("categories", make_pipeline(SimpleImputer(), one_hot), list(self.categories)),
        ]
        used = [part for part in parts if part[2]]
        return ColumnTransformer(used).fit(pandas.DataFrame([row]))

    def encode(self, columns: "DataFrame") -> Tensor:
        """Rows as the network sees them but for their scale, (rows, features), float64.

        Args:
            columns: numbers with NaN and categories with an empty text where a value is missing
        """
        found = columns[self.numbers].copy()
        for name, known in self.categories.items():
            codes = columns[name].cat.set_categories(known).cat.codes.astype(np.float64)
            found[name] = codes.where(columns[name] != "") if name in self.fills else codes
        encoded = self.transformer().transform(found)
        return torch.from_numpy(np.asarray(encoded, dtype=np.float64))


def learn(
    columns: "DataFrame", missing: Missing, max_categories: int, unmarked: Collection[str] = ()
) -> Encoding:
    """Learns fills and categories.

    Args:
        columns: the training rows: numbers with NaN and categories with an empty text where a value
            is missing
        missing: what becomes of missing values
        max_categories: of one column, as OneHotEncoder takes it: of more, the rarest are together
            one, which is all zeros here
        unmarked: columns that get no indicator

    Raises:
        ValueError: if a column has no value, or another one in nearly every row
    """
    from sklearn.impute import SimpleImputer

    numbers = [name for name in columns if columns[name].dtype.kind == "f"]
    strategy = "mean" if missing == "indicator" else missing
    fills: dict[str, float | str] = {}
    categories = {}
    for name, column in columns.items():
        known = column[column.notna() if name in numbers else column != ""]
        if not len(known):
            raise ValueError(
                f"column {name}: all values of the training rows are missing; say --data.ignore="
                f"[{name}]"
            )
        if name in numbers and missing != "refuse":
            imputer = SimpleImputer(strategy=strategy).fit(columns[[name]])
            fills[name] = imputer.statistics_.item()
        elif name not in numbers and missing == "most_frequent":
            fills[name] = known.mode()[0]
        if name not in numbers:
            categories[name] = frequent(known if name in fills else column, max_categories)
    marked = [name for name in numbers if missing == "indicator" and name not in unmarked]
    indicators = [name for name in marked if columns[name].isna().any()]
    return Encoding(numbers, fills, indicators, categories)


def frequent(column: "Series", most: int) -> list[str]:
    """The categories of a column, or the most frequent ones; see `learn`."""
    from sklearn.preprocessing import OneHotEncoder

    # Of numbers, as it counts words in Python.
    codes, distinct = column.astype(object).factorize(sort=True)
    if len(distinct) > MOST_DISTINCT * len(column) and len(column) > FEW_ROWS:
        raise ValueError(
            f"column {column.name}: {len(distinct)} values in {len(column)} training rows, as "
            f"names have; leave it out with --data.ignore=[{column.name}], or say "
            f"--data.id={column.name}"
        )
    encoder = OneHotEncoder(max_categories=most).fit(codes[:, None])
    rare = encoder.infrequent_categories_[0]
    return [word for code, word in enumerate(distinct) if rare is None or code not in rare]
