"""Columns of numbers and categories as one array, by what the training rows have taught."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:  # half a second
    from pandas import DataFrame
    from sklearn.compose import ColumnTransformer

Missing = Literal["refuse", "mean", "median", "indicator", "most_frequent"]


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
        """Scikit-learn's own, of which every part is told all that it needs: it learns nothing."""
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import MissingIndicator, SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        def filled(name: str, missing: object) -> SimpleImputer | str:
            kwargs = {"strategy": "constant", "keep_empty_features": True}
            if name not in self.fills:
                return "passthrough"
            return SimpleImputer(missing_values=missing, fill_value=self.fills[name], **kwargs)

        parts = [(name, filled(name, np.nan), [name]) for name in self.numbers]
        parts += [("missing", MissingIndicator(features="all"), self.indicators)]
        for name, words in self.categories.items():
            known = [np.array(words, dtype=object)]
            encoder = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False)
            parts += [(name, make_pipeline(filled(name, ""), encoder), [name])]
        return ColumnTransformer(parts)

    def encode(self, columns: "DataFrame") -> Tensor:
        """Rows as the network sees them but for their scale, (rows, features), float64.

        Args:
            columns: numbers with NaN and categories with an empty text where a value is missing
        """
        transformer = self.transformer().fit(columns[:1])
        return torch.from_numpy(transformer.transform(columns).astype(np.float64, copy=False))


def learn(columns: "DataFrame", missing: Missing, max_categories: int) -> Encoding:
    """Learns fills and categories.

    Args:
        columns: the training rows: numbers with NaN and categories with an empty text where a value
            is missing
        missing: what becomes of missing values
        max_categories: of one column, as OneHotEncoder takes it: of more, the rarest are together
            one, which is all zeros here

    Raises:
        ValueError: if a column has no value, or another one in every row
    """
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    numbers = [name for name in columns if columns[name].dtype.kind == "f"]
    words = [name for name in columns if name not in numbers]
    strategy = "mean" if missing == "indicator" else missing
    fills: dict[str, float | str] = {}
    for name in columns:
        known = columns[name].notna() if name in numbers else columns[name] != ""
        if not known.any():
            raise ValueError(
                f"column {name}: all values of the training rows are missing; say --data.ignore="
                f"[{name}]"
            )
        if name in numbers and missing != "refuse":
            imputer = SimpleImputer(strategy=strategy).fit(columns[[name]])
            fills[name] = imputer.statistics_.item()
        elif missing == "most_frequent":
            imputer = SimpleImputer(missing_values="", strategy=strategy).fit(columns[[name]])
            fills[name] = imputer.statistics_.item()
    indicators = [n for n in numbers if missing == "indicator" and columns[n].isna().any()]
    categories = {}
    for name in words:
        column = columns[[name]].replace("", fills[name]) if name in fills else columns[[name]]
        encoder = OneHotEncoder(max_categories=max_categories).fit(column)
        kept, rare = encoder.categories_[0], encoder.infrequent_categories_[0]
        if len(kept) == len(column) > max_categories:
            raise ValueError(
                f"column {name}: another value in every row, as identifiers have; leave it out "
                f"with --data.ignore=[{name}], or say --data.id={name}"
            )
        categories[name] = [word for word in kept if rare is None or word not in set(rare)]
    return Encoding(numbers, fills, indicators, categories)
