"""Parquet files."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.reading.cells import Format
from datamodules.reading.table import Sheet

if TYPE_CHECKING:  # half a second
    import pyarrow
    from pandas import DataFrame, Series


class ParquetSheet(Sheet):
    """A Parquet file's columns.

    Args:
        path: of the file
        format: of numbers and dates that are text

    Raises:
        ValueError: if pyarrow is not installed, or the file is damaged
    """

    def __init__(self, path: Path, format: Format) -> None:
        with self._opened(path) as file:
            schema, self.rows = file.schema_arrow, file.metadata.num_rows
        stored = (schema.pandas_metadata or {}).get("index_columns", [])
        # A range is only described.
        index = [label.get("name") if isinstance(label, dict) else label for label in stored]
        self.places = [place for place, name in enumerate(schema.names) if name not in index]
        names = [schema.names[place] for place in self.places]
        super().__init__(path, names, "row", names, index, format)

    @staticmethod
    @contextmanager
    def _opened(path: Path) -> Iterator[Any]:
        """The file, opened by pyarrow."""
        try:
            from pyarrow import ArrowException, parquet
        except ImportError as error:
            extra = "pip install -e '.[parquet]'"
            raise ValueError(f"{path}: Parquet needs {extra}") from error
        try:
            # Buffered, all that has been read would stay in memory.
            with parquet.ParquetFile(path, pre_buffer=False) as file:
                yield file
        except (ArrowException, OSError) as error:
            raise ValueError(f"{path} is damaged or no Parquet file: {error}") from error

    def frames(
        self, columns: Sequence[int], texts: Collection[int] = (), rows: int | None = None
    ) -> Iterator["DataFrame"]:
        import pandas
        from pyarrow import Table

        with self._opened(self.path) as file:
            wanted, schema = {self.names[column] for column in columns}, file.schema_arrow.names
            order = [place for place, name in enumerate(schema) if name in wanted]
            names = list(dict.fromkeys(schema[place] for place in order))
            tables = (
                [file.read(names)]
                if rows is None
                else (Table.from_batches([part]) for part in file.iter_batches(rows, columns=names))
            )
            for table in tables:
                found = {
                    column: self._series(table.column(order.index(self.places[column])), column)
                    for column in columns
                }
                yield pandas.DataFrame(found)

    def _series(self, cells: "pyarrow.ChunkedArray", column: int) -> "Series":
        import pyarrow as pa

        kind = cells.type
        if pa.types.is_dictionary(kind):
            cells = cells.cast(kind.value_type)
        elif pa.types.is_decimal(kind):
            cells = cells.cast(pa.float64())
        elif pa.types.is_nested(kind) or pa.types.is_binary(kind):
            raise ValueError(
                f"{self.path}: column {self.names[column]} is of {kind}: no numbers, dates or "
                "words; leave it out with --data.ignore"
            )
        elif pa.types.is_timestamp(kind) and kind.tz:
            cells = cells.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.timestamp(kind.unit))
        return cells.to_pandas(integer_object_nulls=True, date_as_object=False)

    def row(self, number: int) -> tuple[int, list[str]]:
        first = 0
        with self._opened(self.path) as file:
            for part in file.iter_batches(10_000):
                if number < first + len(part):
                    cells = [part.column(place)[number - first].as_py() for place in self.places]
                    return number, ["" if cell is None else str(cell) for cell in cells]
                first += len(part)
        raise IndexError(number)
