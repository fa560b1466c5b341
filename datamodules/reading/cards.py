"""What a folder says of itself as a dataset: files in it alone. Nothing else is read or fetched."""

from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

import yaml
from datasets.config import REPOCARD_FILENAME, REPOYAML_FILENAME
from huggingface_hub import DatasetCard


def check_card(folder: Path) -> None:
    """Refuses a folder whose card names data elsewhere, which the library would read or fetch.

    Args:
        folder: of the dataset

    Raises:
        ValueError: with the file and what it names
    """
    for name in (REPOCARD_FILENAME, REPOYAML_FILENAME):
        file = folder / name
        if not file.is_file():
            continue
        try:
            is_card, text = name == REPOCARD_FILENAME, file.read_text(encoding="utf-8")
            said = DatasetCard(text).data.to_dict() if is_card else yaml.safe_load(text)
            configs = said.get("configs") if isinstance(said, dict) else None
        except (ValueError, yaml.YAMLError) as error:
            raise ValueError(f"{file} is damaged: {' '.join(str(error).split())}") from error
        for path in strings(configs):
            if "://" in path or not is_below(path):
                raise ValueError(f"{file} names {path}, which is not in its folder")


def is_below(path: str) -> bool:
    """Whether a relative path leads nowhere but below, on any system."""
    windows = PureWindowsPath(path)
    return not windows.anchor and ".." not in windows.parts and not path.startswith("~")


def strings(settings: object) -> Iterator[str]:
    """All strings in nested settings, but for the keys."""
    if isinstance(settings, (dict, list)):
        for value in settings.values() if isinstance(settings, dict) else settings:
            yield from strings(value)
    elif isinstance(settings, str):
        yield settings
