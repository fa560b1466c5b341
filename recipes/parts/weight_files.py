"""Files of weights, anyone's: what is in them, and which part is a network's.

A file is a `state_dict` by torch.save or safetensors, alone or below a key such as `model`, or a
checkpoint, ours or another's. Names may have a prefix, as `module.` of DDP or `_orig_mod.` of
torch.compile.
"""

import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from recipes.parts.averages import evaluated_weights
from recipes.parts.checkpoints import is_of_lightning, read_archive

ADAPTER = "adapter"  # the `kind` in the metadata of a file that has adapters and head alone
# What torch puts into names, wherever in them: of compiled, sharded and checkpointed modules.
WRAPPERS = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


@dataclass(frozen=True)
class Table:
    """A table of tensors in a file, seen as a network's.

    Attributes:
        keys: that it lies below, joined by dots
        prefix: of its names, which are here without
        tensors: by name
    """

    keys: str
    prefix: str
    tensors: dict[str, Tensor]

    def agreement(self, own: Mapping[str, Tensor]) -> tuple[int, int]:
        """How many names are a network's, with the same shape and at all."""
        shared = [name for name in self.tensors if name in own]
        return sum(self.tensors[name].shape == own[name].shape for name in shared), len(shared)

    def __str__(self) -> str:
        places = {"below": self.keys, "named": self.prefix and f"{self.prefix}*"}
        return ", ".join(f"{how} {what}" for how, what in places.items() if what)


def read_plain(path: Path, option: str) -> dict[str, Any]:
    """The content of anyone's file of weights, by torch.save or safetensors; no objects in it.

    Args:
        path: of the file
        option: that it was given by, for the message

    Raises:
        FileNotFoundError: if there is no such file
        ValueError: if it is damaged, no such file, or holds objects; or safetensors is not
            installed
    """
    if not path.is_file():
        raise FileNotFoundError(f"{option}={path}: no such file")
    try:
        if is_safetensors(path):
            return read_safetensors(path)
        old = not zipfile.is_zipfile(path)  # of torch before 1.6
        content = torch.load(path, "cpu", weights_only=True) if old else read_archive(path)
    except ModuleNotFoundError as error:
        needs = "safetensors is not installed: pip install safetensors"
        raise ValueError(f"{option}={path}: {needs}") from error
    except Exception as error:  # whatever reading a file that is none comes to
        reason = shorten(str(error), 150)
        if "Unsupported global" in str(error) or "Unsupported operand" in str(error):
            reason = "it holds Python objects; save the network's state_dict() alone"
        raise ValueError(f"{option}={path} is damaged or no file of weights: {reason}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{option}={path} holds a {type(content).__name__}, no named weights")
    return content


def is_safetensors(path: Path) -> bool:
    """Whether a file is of safetensors: by its name, or as it begins with a header in JSON."""
    with path.open("rb") as file:
        start = file.read(9)
    return path.suffix == ".safetensors" or (start[8:] == b"{" and start[4:8] == bytes(4))


def read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors of a file of safetensors, by name.

    Raises:
        ModuleNotFoundError: if safetensors is not installed
        safetensors.SafetensorError: if the file is damaged
    """
    from safetensors.torch import load_file

    return load_file(path)


@dataclass(frozen=True)
class Origin:
    """What an exported adapter was trained beside.

    Attributes:
        files: path and sha256 of what its networks started from, by their names
        scales: alpha / r of each adapted layer, by its name
    """

    files: dict[str, dict[str, str]]
    scales: dict[str, float]

    @classmethod
    def of(cls, path: Path) -> "Origin | None":
        """That of a file of weights; None if it is no adapter."""
        if not path.is_file() or not is_safetensors(path):
            return None
        try:
            from safetensors import SafetensorError, safe_open

            with safe_open(path, "pt") as file:
                facts = file.metadata() or {}
        except (ModuleNotFoundError, SafetensorError):
            return None  # `read_plain` says so
        if facts.get("kind") != ADAPTER:
            return None
        return cls(json.loads(facts.get("weights", "{}")), json.loads(facts["scales"]))


def tensors(mapping: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors in a mapping that have a string as their name."""
    return {k: v for k, v in mapping.items() if isinstance(k, str) and isinstance(v, Tensor)}


def tables(content: Mapping[Any, Any], keys: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping in a file that has tensors, with the keys that it lies below."""
    if found := tensors(content):
        yield keys, {WRAPPERS.sub("", name): value for name, value in found.items()}
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from tables(value, f"{keys}.{key}".lstrip("."))


def chosen(path: Path, option: str, own: Mapping[str, Tensor], name: str) -> Table:
    """The table of a file that fits a network best; among equals the one of its name, or the first.

    Args:
        path: of the file
        option: that it was given by
        own: the network's tensors
        name: of the network

    Raises:
        FileNotFoundError, ValueError: from `read_plain`; ValueError, too, if no name is the
            network's
    """
    content = read_plain(path, option)
    if is_of_lightning(content):
        content = {"state_dict": evaluated_weights(content)}
    found = []
    for keys, table in tables(content):
        for prefix in prefixes(table, own):
            part = {k.removeprefix(prefix): v for k, v in table.items() if k.startswith(prefix)}
            found.append(Table(keys, prefix, part))
    if not found:
        theirs = [each for _, table in tables(content) for each in table] or ["nothing"]
        raise ValueError(
            f"{option}={path}: no name in it is one of the network's: it has {short(theirs)}, the "
            f"network {short(list(own))}; give the network that it is of as --model.{name}"
        )

    def fit(table: Table) -> tuple[int, int, bool]:
        return *table.agreement(own), name in (*table.keys.split("."), table.prefix[:-1])

    return max(found, key=fit)


def prefixes(table: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """What stands before a network's names in a table: each prefix, with its dot."""
    found: Counter[str] = Counter()
    for name in table:
        parts = name.split(".")
        for depth in range(len(parts)):
            if ".".join(parts[depth:]) in own:
                found["".join(f"{part}." for part in parts[:depth])] += 1
    return list(found)


def short(names: Sequence[str], count: int = 3) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return f"{', '.join(names[:count])}{more}"
