"""The row groups of Parquet and Arrow files: how many rows they have, and the rows themselves.

Files are local, or remote at any address that `datasets` opens (hf://, https://, s3://).
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from typing import IO, NamedTuple

import pyarrow as pa
from datasets.utils.file_utils import xopen
from pyarrow import parquet

FOOTERS_AT_ONCE = 16  # each waits for a remote file
Source = pa.NativeFile | IO[bytes]


class RowGroup(NamedTuple):
    """A part of a file that can be read without the others.

    Attributes:
        file: its path or address
        number: the row group of a Parquet file, the record batch of an Arrow file
        rows: how many it has
    """

    file: str
    number: int
    rows: int


class Origins:
    """Says which row of which file a row of a split is.

    Args:
        groups: gives all row groups of the split, in order, when they are asked for
    """

    def __init__(self, groups: Callable[[], list[RowGroup]]) -> None:
        self.groups = groups

    def __call__(self, row: int) -> str:
        """The file and the row in it, from 0, of a row of the split; or its number alone."""
        in_file, file, left = 0, "", int(row)
        for group in self.groups():
            in_file, file = (in_file, file) if group.file == file else (0, group.file)
            if left < group.rows:
                return f"{file}, row {in_file + left}"
            in_file, left = in_file + group.rows, left - group.rows
        return f"row {row} of the split"


class Part(NamedTuple):
    """The rows `start` to `stop` of a row group."""

    group: RowGroup
    start: int
    stop: int


class ParquetFile:
    """A Parquet file, of which the footer is read, and then what is asked for."""

    def __init__(self, source: Source) -> None:
        self.content = parquet.ParquetFile(source)
        footer = self.content.metadata
        self.rows = [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
        self.schema = self.content.schema_arrow

    def batches(self, number: int, columns: list[str], at_once: int) -> Iterator[pa.RecordBatch]:
        """A row group, unpacked so many rows at a time."""
        # One thread: a worker is a fork, and the threads stayed in its parent.
        return self.content.iter_batches(at_once, [number], columns, use_threads=False)


class ArrowFile:
    """An Arrow file in either of its formats; one that is mapped into memory is not copied."""

    def __init__(self, source: Source) -> None:
        in_blocks = source.read(6) == b"ARROW1"
        source.seek(0)
        if in_blocks:
            content = pa.ipc.open_file(source)
            self.groups = [content.get_batch(n) for n in range(content.num_record_batches)]
        else:
            content = pa.ipc.open_stream(source)
            self.groups = list(content)
        self.rows = [group.num_rows for group in self.groups]
        self.schema = content.schema

    def batches(self, number: int, columns: list[str], at_once: int) -> Iterator[pa.RecordBatch]:
        """A record batch, as a whole."""
        yield self.groups[number].select(columns)


def is_parquet(file: str) -> bool:
    """Whether a file is taken for Parquet, by its name."""
    return file.endswith((".parquet", ".pq"))


@contextmanager
def opened(file: str) -> Iterator[ParquetFile | ArrowFile]:
    """A file, a local one mapped into memory.

    Raises:
        ValueError: if it is damaged, or neither Parquet nor Arrow; also later, while it is read
    """
    try:
        with xopen(file, "rb") if "://" in file else pa.memory_map(file) as source:
            yield (ParquetFile if is_parquet(file) else ArrowFile)(source)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        kind = "Parquet" if is_parquet(file) else "Arrow"
        raise ValueError(f"{file} is damaged or no {kind} file: {error}") from error


def row_groups(files: Iterable[str]) -> list[RowGroup]:
    """All row groups of some files, in order. Of a Parquet file only the footer is read.

    Raises:
        ValueError: if a file is damaged, or neither Parquet nor Arrow
    """

    def of(file: str) -> list[RowGroup]:
        with opened(file) as content:
            return [RowGroup(file, number, rows) for number, rows in enumerate(content.rows)]

    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        return [group for groups in pool.map(of, files) for group in groups if group.rows]


def read(
    parts: Iterable[Part], columns: list[str], at_once: int
) -> Iterator[tuple[RowGroup, int, pa.Table]]:
    """The rows of some parts, in order, as tables of at most `at_once` rows or a record batch.

    Consecutive parts of a file open it once. What a part leaves out at the beginning of its row
    group is read and thrown away.

    Args:
        parts: which rows
        columns: names of the columns that are read
        at_once: rows of a Parquet file that are unpacked at a time

    Yields:
        a row group, the number of the table's first row in it, and the table

    Raises:
        ValueError: if a file is damaged or lacks a column
    """
    for file, of_file in groupby(parts, key=lambda part: part.group.file):
        with opened(file) as content:
            if lacking := [name for name in columns if name not in content.schema.names]:
                raise ValueError(f"{file} has no column {lacking[0]}")
            for group, start, stop in of_file:
                row = 0
                for batch in content.batches(group.number, columns, at_once):
                    first, last = max(start - row, 0), min(stop - row, len(batch))
                    if first < last:
                        batch.validate(full=True)  # a wrong offset in it would be a wrong address
                        rows = pa.Table.from_batches([batch.slice(first, last - first)])
                        yield group, row + first, rows
                    row += len(batch)
                    if row >= stop:
                        break
