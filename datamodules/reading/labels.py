"""Labels are numbers, and each file of a dataset says by itself what they mean."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from datasets import ClassLabel, Features

from datamodules.reading.row_groups import FOOTERS_AT_ONCE, opened


def label_names(file: str) -> dict[str, list[str]]:
    """The classes' names of each column of labels in a Parquet or Arrow file, in their order."""
    with opened(file) as content:
        features = Features.from_arrow_schema(content.schema)
    return {name: kind.names for name, kind in features.items() if isinstance(kind, ClassLabel)}


def check_labels(files: Iterable[str], columns: Iterable[str]) -> None:
    """Refuses files in which the same number is another class.

    Args:
        files: of all splits that are compared; the first one is right
        columns: names of those that are used

    Raises:
        ValueError: with the first file, number and column that differ
    """
    files, columns = list(files), list(columns)
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        for file, names in zip(files, pool.map(label_names, files), strict=True):
            if file == files[0]:
                right = names
            for column in columns:
                # Where one has more classes, the further ones are no contradiction.
                pairs = zip(right.get(column, ()), names.get(column, ()), strict=False)
                for label, (one, other) in enumerate(pairs):
                    if one != other:
                        raise ValueError(
                            f"{file}: label {label} of column {column} is {other}, and in "
                            f"{files[0]} it is {one}; write them with one order of names"
                        )
