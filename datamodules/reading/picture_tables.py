"""Tables of pictures: a CSV of files and labels, and Parquet files that hold the pictures."""

import json
import os
from bisect import bisect_right
from collections.abc import Iterator
from glob import glob, has_magic
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.reading.listing import PART_OF, Listing
from datamodules.reading.split_words import split_of
from datamodules.reading.text import Dialect, Text

if TYPE_CHECKING:  # the extra
    from pyarrow import Array, Schema

PARQUET = (".parquet", ".pq")


def csv_listing(path: Path, file: str = "file", label: str | None = "label") -> Listing:
    """Pictures that a CSV names, relative to its folder; an empty label is one that is not known.

    Args:
        path: of the CSV, separated by commas, semicolons, tabs or bars
        file: column of the pictures' files
        label: column of the classes' names; without it, no label is known

    Raises:
        ValueError: if a column does not exist or is there twice, a row lacks a file, a line is
            longer or shorter than the first, or the file is no text
    """
    text = Text(path, Dialect(), hint="save it as UTF-8")
    with text.opened() as content:
        records = list(text.records(content))
    if len(records) < 2:
        raise ValueError(f"--data.path={path}: no rows")
    text.check()
    columns = records[0][1]
    for option, name in (("file", file), ("label", label)):
        if name is not None and columns.count(name) != 1:
            found = "two columns of this name" if name in columns else "no such column"
            there = ", ".join(columns)
            raise ValueError(f"--data.{option}={name}: {found} in {path}; it has {there}")
    place, rows = columns.index(file), records[1:]
    for line, cells in rows:
        if os.path.normpath(cells[place] or ".") == ".":
            raise ValueError(f"--data.path={path}, line {line}: no file in column {file}")
    names = [os.path.normpath(cells[place]) for _, cells in rows]
    labels = [cells[columns.index(label)] or None if label else None for _, cells in rows]
    return Listing(path.parent, names, labels, sources=[path.name])


class ParquetListing(Listing):
    """Pictures in the rows of Parquet files; needs `pip install -e '.[parquet]'`.

    Args:
        files: of one split
        image: column of the pictures: their files' contents, with their names or alone
        label: column of classes, as names or numbers; without it, no label is known

    Raises:
        ValueError: if a file is damaged, or has no such column, or pyarrow is not installed
    """

    def __init__(self, files: list[str], image: str, label: str | None) -> None:
        if find_spec("pyarrow") is None:
            raise ValueError(f"--data.path={files[0]} needs: pip install -e '.[parquet]'")
        super().__init__(
            Path(os.path.commonpath([Path(f).absolute().parent for f in files])), [], []
        )
        self.files, self.image = files, image
        self.sources = [image, *(Path(file).name for file in files)]
        self.starts: list[int] = []  # the first row of each row group
        self.groups: list[tuple[str, int]] = []
        self.held: tuple[int, Array | None] = (-1, None)  # a row group, and its pictures
        for file in files:
            self._add(file, label)

    def _add(self, file: str, label: str | None) -> None:
        from pyarrow import ArrowException, parquet

        try:
            content = parquet.ParquetFile(file)
            schema = content.schema_arrow
            for option, name in (("file", self.image), ("label", label)):
                if name is not None and name not in schema.names:
                    said = f"no such column in {file}; it has {', '.join(schema.names)}"
                    raise ValueError(f"--data.{option}={name}: {said}")
            labels = content.read([label]).column(0).to_pylist() if label else None
        except (ArrowException, OSError) as error:
            raise ValueError(
                f"--data.path: {file} is damaged or no Parquet file: {error}"
            ) from error
        start, rows = len(self.names), content.metadata.num_rows
        for group in range(content.metadata.num_row_groups):
            self.groups.append((file, group))
            self.starts.append(start)
            start += content.metadata.row_group(group).num_rows
        self.names += [f"{Path(file).name}, row {row}" for row in range(rows)]
        self.labels += [None] * rows if labels is None else self._named(labels, schema, label, file)

    def _named(
        self, labels: list[str | int | None], schema: "Schema", column: str, file: str
    ) -> list[str | None]:
        """The classes' names of what a column of labels holds."""
        said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = said.get("info", {}).get("features", {})
        order = features.get(column, {}).get("names") or []
        if self.order and order != self.order:
            said = "other names of classes, or in another order, than the first file"
            raise ValueError(f"--data.path: {file} has {said}")
        self.order = order
        if order:
            return [None if n is None or n < 0 else order[n] for n in labels]
        return [None if label is None else str(label) for label in labels]

    def find(self, row: int) -> tuple[bytes | None, str | None]:
        """As of `Listing`; the last row group is kept in memory."""
        from pyarrow import parquet

        place = bisect_right(self.starts, row) - 1
        if self.held[0] != place:
            file, group = self.groups[place]
            column = parquet.ParquetFile(file).read_row_group(group, [self.image]).column(0)
            self.held = place, column.combine_chunks()
        value = self.held[1][row - self.starts[place]].as_py()
        if isinstance(value, dict):
            return value.get("bytes"), value.get("path")
        return (None, value) if isinstance(value, str) else (value, None)

    def stamps(self) -> Iterator[tuple[str, int, int]]:
        """Name, size and time of the Parquet files."""
        for file in self.files:
            status = os.stat(file)
            yield file, status.st_size, status.st_mtime_ns


def parquet_splits(path: str, image: str, label: str | None) -> dict[str, Listing]:
    """The splits of a Parquet file, a pattern or a folder of them, told by words in their names."""
    here = Path(path).expanduser()
    files = sorted(glob(str(here), recursive=True)) if has_magic(path) else [str(here)]
    if here.is_dir():
        files = sorted(str(file) for file in here.rglob("*") if file.suffix.lower() in PARQUET)
    of_split: dict[str, list[str]] = {}
    for file in files:
        of_split.setdefault(PART_OF[split_of(Path(file).name)], []).append(file)
    return {part: ParquetListing(found, image, label) for part, found in of_split.items()}
