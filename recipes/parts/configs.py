"""The settings that a run was made with: the config.yaml in its folder."""

import os
from pathlib import Path
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEPTH = 4  # folders above a checkpoint in which its run's are looked for


def run_of(checkpoint: str | None) -> Path | None:
    """The folder of the run that a checkpoint belongs to, if it lies in one.

    It may be deeper than `<run>/checkpoints/`: Lightning's own place, where ModelCheckpoint has no
    dirpath, is `<run>/<project>/<id>/checkpoints/`.
    """
    if not checkpoint:
        return None
    for folder in list(Path(checkpoint).resolve().parents)[:DEPTH]:
        if all((folder / name).is_file() for name in ("run.json", "config.yaml")):
            return Path(os.path.relpath(folder))
    return None


def read_config(folder: Path) -> dict[str, Any]:
    """What the config.yaml of a run's folder says; nothing if there is none.

    Raises:
        ValueError: if it is damaged
    """
    path = folder / "config.yaml"
    if not path.exists():
        return {}
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), LOADER)
        if not isinstance(config, dict):
            raise ValueError("no mapping")
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    return config
