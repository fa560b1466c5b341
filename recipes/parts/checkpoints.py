"""Checkpoints that hold plain values alone, and are checked before they are used."""

import os
import zipfile
from argparse import Namespace
from enum import Enum
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from recipes.parts.brief import brief
from recipes.parts.configs import read_config, run_of
from recipes.parts.trust import strings


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


def can_resume(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a checkpoint to train on from, and not damaged, nor the weights alone."""
    try:
        # Mapped: the weights are not read.
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return "optimizer_states" in saved
    except (OSError, RuntimeError, EOFError, TypeError, UnpicklingError):
        return False


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
