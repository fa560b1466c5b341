"""Files that are downloaded once and never used unchecked."""

from pathlib import Path

import pooch


def check(path: Path, checksum: str) -> None:
    """Makes sure that a file is the expected one.

    Args:
        path: of the file
        checksum: "<algorithm>:<hexadecimal>"

    Raises:
        ValueError: if the file is another one
    """
    algorithm, _, digest = checksum.partition(":")
    if pooch.file_hash(path, alg=algorithm) != digest.lower():
        raise ValueError(
            f"{path} is not the original file (its {algorithm} differs): move it, "
            "or name another folder"
        )


def fetch(url: str, path: Path, checksum: str) -> None:
    """Downloads a file unless it is there; what is there is checked and never overwritten.

    Args:
        url: where to download it from
        path: where it belongs
        checksum: that the file must have, "<algorithm>:<hexadecimal>"

    Raises:
        ValueError: if the file at `path` is another one
        OSError: if it cannot be downloaded
    """
    if path.exists():
        check(path, checksum)
        return
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        pooch.retrieve(url, checksum, fname=path.name, path=path.parent, progressbar=True)
    except Exception as error:  # requests raises a dozen kinds, pooch ValueError
        for folder in made:  # the innermost first
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        said = f"cannot download {url} to {path}: {type(error).__name__}"
        raise OSError(f"{said}; --data.data_dir takes a folder that has the file") from error
