"""Checkpoints that hold plain values alone, and are checked before they are used."""

import os
import zipfile
from argparse import Namespace
from enum import Enum
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import yaml

from recipes.parts.brief import brief
from recipes.parts.trust import strings

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEPTH = 4  # folders above a checkpoint in which its run's are looked for


def read_checkpoint(path: str, option: str) -> dict[str, Any]:
    """A checkpoint's content, without unpickling objects.

    What its hyperparameters name is another matter: see `Trust`.

    Args:
        path: of a file; no URL
        option: that the path was given by, for the message

    Raises:
        FileNotFoundError: if there is no such file
        ValueError: if it is damaged, even by one bit, or holds more than plain values
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{option}={path}: no such file")
    try:
        saved = read_archive(path)
        if is_of_lightning(saved) and not isinstance(saved.get("state_dict", {}), dict):
            raise ValueError("its state_dict is no mapping")
    except (zipfile.BadZipFile, ValueError, RuntimeError, UnpicklingError) as error:
        reason = brief(str(error))
        raise ValueError(f"{option}={path} is damaged or no checkpoint: {reason}") from error
    if not is_of_lightning(saved):
        raise ValueError(
            f"{option}={path} is no checkpoint: Lightning did not write it; weights alone go by "
            "--model.weights, or --model.<network>_weights where there are several networks"
        )
    return saved


def is_of_lightning(content: object) -> bool:
    """Whether a file's content is a checkpoint's."""
    return isinstance(content, dict) and "pytorch-lightning_version" in content


def read_archive(path: str | Path) -> object:
    """A file of torch.save, without unpickling objects, and with its checksums looked at.

    Raises:
        BadZipFile, ValueError, RuntimeError, UnpicklingError: if it is damaged, or no such file
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()  # torch.load does not look at them
    if damaged:
        raise ValueError(f"{damaged} in it has a wrong checksum")
    # What others' scripts save beside their weights; it holds plain attributes alone.
    with torch.serialization.safe_globals([Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


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


def can_resume(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a checkpoint to train on from, and not damaged, nor the weights alone."""
    try:
        # Mapped: the weights are not read.
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return "optimizer_states" in saved
    except (OSError, RuntimeError, EOFError, TypeError, UnpicklingError):
        return False


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


def named_beside(checkpoint: str) -> frozenset[str]:
    """All that the config.yaml of the run that a checkpoint lies in names; nothing elsewhere.

    Raises:
        ValueError: from `read_config`
    """
    run = run_of(checkpoint)
    return frozenset(strings(read_config(run))) if run else frozenset()


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever a checkpoint holds
    """The same with plain numbers and strings, also inside containers, which are changed in place.

    The command line's restricted types are subclasses: a PositiveFloat that became an optimizer's
    lr would make a checkpoint that does not load with `weights_only=True`.
    """
    if isinstance(value, (dict, list)):
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            value[key] = plain(item)
    elif type(value) is tuple:
        return tuple(plain(item) for item in value)
    elif not isinstance(value, (bool, Enum)):
        for base in (int, float, str):
            if isinstance(value, base):
                return base(value)
    return value
