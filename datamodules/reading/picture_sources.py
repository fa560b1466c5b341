"""What a user's path to pictures is: folders, a CSV, Parquet files or one picture."""

from glob import glob, has_magic
from pathlib import Path

from datamodules.reading.listing import SUFFIXES, Listing, below, folder_splits, unlabelled
from datamodules.reading.picture_tables import PARQUET, csv_listing, parquet_splits


def holds_parquet(path: str) -> bool:
    """Whether a path is of Parquet files: one, a pattern, or a folder of them without pictures."""
    here = Path(path).expanduser()
    if here.is_dir():
        pictures, others = below(here)
        return not pictures and any(other.lower().endswith(PARQUET) for other in others)
    return has_magic(path) or here.suffix.lower() in PARQUET


def picture_splits(
    path: str, file: str | None = None, label: str | None = "label"
) -> dict[str, Listing]:
    """The pictures of each split, `train`, `val` and `test`, as far as there are such.

    Args:
        path: folder, CSV, or Parquet file, pattern or folder
        file: column of a table's files, or of its pictures; by default `file` of a CSV, `image` of
            Parquet
        label: column of a table's labels, if it has any

    Raises:
        FileNotFoundError: if there is nothing
        ValueError: if it is of another kind, or from what reads it
    """
    here = Path(path).expanduser()
    if not (here.exists() or (has_magic(path) and glob(str(here), recursive=True))):
        raise FileNotFoundError(f"--data.path={path}: no such file or folder")
    if holds_parquet(path):
        return parquet_splits(path, file or "image", label)
    if here.is_dir():
        return folder_splits(here, path)
    if here.suffix.lower() in (".csv", ".tsv"):
        return {"train": csv_listing(here, file or "file", label)}
    raise ValueError(f"--data.path={path}: no folder, CSV or Parquet file")


def new_pictures(path: str, file: str | None = None) -> Listing:
    """Pictures to predict the classes of: all of a folder, whatever its subfolders, or of a table.

    Args:
        path: as of `picture_splits`, or one picture
        file: as of `picture_splits`

    Raises:
        FileNotFoundError, ValueError: as `picture_splits`, with this option's name
    """
    here = Path(path).expanduser()
    try:
        if here.is_dir() and not holds_parquet(path):
            return unlabelled(here, path)
        if here.is_file() and here.suffix.lower() in SUFFIXES:
            return Listing(here.parent, [here.name], [None])
        (listing, *others) = picture_splits(path, file, None).values()
    except (FileNotFoundError, ValueError) as error:
        said = str(error).replace("--data.path=", "--data.predict=", 1)
        raise type(error)(said) from error
    if others:
        raise ValueError(f"--data.predict={path} has several splits: name the files of one")
    return listing
