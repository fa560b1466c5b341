"""Texts with a class each, as files have them: lines, or columns of a table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datamodules.reading.cells import is_missing
from datamodules.reading.parquet import ParquetSheet
from datamodules.reading.sheets import PARQUET, read_sheet
from datamodules.reading.table import Sheet
from datamodules.reading.text import Dialect, Text

TABLES = (".csv", ".tsv", *PARQUET)
JSON = (".json", ".jsonl", ".ndjson")
OnError = Literal["refuse", "skip"]


@dataclass
class LabelledTexts:
    """What a file holds.

    Attributes:
        path: of the file
        texts: in the file's order
        labels: the class of each by name; None where there is none
        places: of each in the file, such as "line 3"
        skipped: places of those that were left out as they are empty
    """

    path: Path
    texts: list[str]
    labels: list[str | None]
    places: list[str]
    skipped: list[str]

    def __len__(self) -> int:
        return len(self.texts)


def read_labelled(
    path: Path,
    text: str,
    label: str | None,
    encoding: str | None = None,
    on_error: OnError = "refuse",
) -> LabelledTexts:
    """Reads a file of texts and their classes.

    Args:
        path: a table (.csv, .tsv, .parquet), or any other file, of lines: a class, a blank or tab,
            and a text
        text: a table's column of texts
        label: its column of classes; None: there are none, and each line is a text
        encoding: of a text file; by default UTF-8
        on_error: what is done with an empty text

    Raises:
        FileNotFoundError: if there is no such file
        ValueError: if it is damaged, has no such column, or an empty text that is refused
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix.lower() in JSON:
        raise ValueError(f"{path}: JSON is not read: a table (.csv, .parquet), or lines")
    of_table = path.suffix.lower() in TABLES
    rows = table_rows(path, text, label, encoding) if of_table else lines(path, label, encoding)
    found = LabelledTexts(path, [], [], [], [])
    for place, name, content in rows:
        if content:
            found.texts.append(content)
            found.labels.append(name)
            found.places.append(place)
        elif on_error == "skip":
            found.skipped.append(place)
        else:
            raise ValueError(f"{path}, {place}: no text; --data.on_error=skip leaves such rows out")
    if not found.texts:
        raise ValueError(f"{path} has no text")
    return found


def lines(path: Path, label: str | None, encoding: str | None) -> list[tuple[str, str | None, str]]:
    """The place, class and text of each line.

    Blank lines are left out of labelled ones, and behind the last text.
    """
    with Text(path, Dialect(encoding=encoding)).opened() as file:
        every = [(f"line {number}", line.strip()) for number, line in enumerate(file, 1)]
    if label is None:
        last = max((number for number, (_, line) in enumerate(every, 1) if line), default=0)
        return [(place, None, line) for place, line in every[:last]]
    parts = [(place, [*line.split(None, 1), ""]) for place, line in every if line]
    return [(place, name, text) for place, (name, text, *_) in parts]


def table_rows(
    path: Path, text: str, label: str | None, encoding: str | None
) -> list[tuple[str, str | None, str]]:
    """The place, class and text of each row of a table."""
    sheet = read_sheet(path, None if path.suffix in PARQUET else True, Dialect(encoding=encoding))
    wanted = [text] if label is None else [text, label]
    columns = [place_of(sheet, name) for name in wanted]
    frame = sheet.frame(columns, columns)
    cells = [["" if is_missing(str(c)) else str(c) for c in frame[place]] for place in columns]
    texts, names = cells[0], cells[1] if label is not None else [""] * len(cells[0])
    first = 0 if isinstance(sheet, ParquetSheet) else 2  # below the header
    return [
        (f"{sheet.unit} {first + number}", name or None, content.strip())
        for number, (content, name) in enumerate(zip(texts, names, strict=True))
    ]


def place_of(sheet: Sheet, name: str) -> int:
    """The place of a column.

    Raises:
        ValueError: if there is none of this name
    """
    if name not in sheet.names:
        known = ", ".join(sheet.names)
        raise ValueError(f"{sheet.path} has no column {name}: it has {known}")
    return sheet.names.index(name)
