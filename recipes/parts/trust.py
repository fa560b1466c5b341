"""What a checkpoint may name: a class of this project, Lightning or torch, or what the user names.

A checkpoint holds plain values, but the parser makes what they name: it imports a class_path, calls
a function, reads a file of settings. So a checkpoint by itself names known classes alone.
"""

import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import yaml
from lightning.pytorch import LightningDataModule
from torch import nn
from torch.optim import Optimizer

from recipes.parts.keys import OURS

MADE = (nn.Module, Optimizer, LightningDataModule)  # what a checkpoint's settings become
INNER = ("init_args", "dict_kwargs")  # beside a class_path; no part of an option's name
# Last words of the names of arguments that are a file, a folder, an address or a dataset.
PLACES = "path dir directory root folder file filename url checkpoint".split()
NOT_GIVEN = object()


def known_object(path: str, packages: tuple[str, ...] = ()) -> type | None:
    """What a class_path names, if a checkpoint may name it by itself.

    Args:
        path: such as torch.optim.SGD
        packages: prefixes of packages that count as this project's: the recipe's own

    Returns:
        a class of Lightning, torch or this project; a function of this project, if it says that it
        returns a network, an optimizer or data; otherwise None, and then nothing is imported
    """
    ours, (module, _, name) = (*OURS, *packages), path.rpartition(".")
    if not path.startswith(ours):
        # What is not imported yet stays so, and Lightning's demos download.
        found = getattr(sys.modules.get(module), name, None)
        is_demo = path.startswith("lightning.pytorch.demos.")
        known = path.startswith(("torch.", "lightning.")) and not is_demo
        return found if known and inspect.isclass(found) else None
    if "__main__" in module.split(".")[1:]:
        return None  # to import it is to run it
    try:
        found = getattr(import_module(module), name, None)
    except ImportError:
        return None
    made = found
    if inspect.isfunction(found):
        made = inspect.signature(found).return_annotation
        if not (inspect.isclass(made) and issubclass(made, MADE)):
            return None
    return found if inspect.isclass(made) and f"{found.__module__}.".startswith(ours) else None


def defaults(made: object) -> dict[str, Any]:
    """The defaults of a class's or function's arguments; of None nothing."""
    parameters = inspect.signature(made).parameters if made else {}
    return {name: parameter.default for name, parameter in parameters.items()}


def is_class_path(value: str) -> bool:
    """Whether a string could be taken for the name of a class or function."""
    return "." in value and value.replace(".", "_").isidentifier()


def is_place(name: str, value: str) -> bool:
    """Whether an argument's value is, or could be read as, a file, an address or a file's text."""
    if name.split("_")[-1] in PLACES or ":/" in value:
        return True
    try:
        text = yaml.safe_load(value)
        return isinstance(text, (dict, list)) or os.path.isfile(os.path.expanduser(value))
    except yaml.YAMLError:
        return False


def strings(settings: object) -> Iterator[str]:
    """All strings in nested settings, but for the keys."""
    if isinstance(settings, (dict, list)):
        for value in settings.values() if isinstance(settings, dict) else settings:
            yield from strings(value)
    elif isinstance(settings, str):
        yield settings


class Foreign(NamedTuple):
    """What a checkpoint may not name, and whether it is a class, or else a place."""

    name: str
    is_class: bool

    def __str__(self) -> str:
        if self.is_class:
            return f"{self.name}, no class of this project, Lightning or torch"
        return f"the file, folder or dataset {self.name}"


@dataclass(frozen=True)
class Trust:
    """What is allowed of what a checkpoint names.

    Attributes:
        source: the option that the checkpoint was given by, and its path
        names: what the user has named: all strings of flags and configs
        keys: options that the user has given, `model.network`
        packages: as for `known_object`
    """

    source: str
    names: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()

    def permitted(
        self, settings: Mapping[str, Any], key: str, made: object = None
    ) -> dict[str, Any]:
        """A checkpoint's settings, without those that the user gives otherwise.

        Args:
            settings: as nested mappings
            key: the option that they are below
            made: what they are arguments of, whose defaults may be places

        Raises:
            ValueError: with the option that allows it, if they name what is not allowed
        """
        kept, known = {}, defaults(made)
        for name, value in settings.items():
            option = key if name in INNER else f"{key}.{name}".lstrip(".")
            is_default = known.get(name, NOT_GIVEN) == value
            foreign = None if name == "class_path" or is_default else self._foreign(name, value)
            if foreign and option in self.keys:
                continue
            if foreign:
                way = f"--{option}={foreign.name} allows it"
                raise ValueError(f"{self.source} names {foreign}: {way}")
            path = settings.get("class_path") if name in INNER else None
            inner = known_object(str(path), self.packages) if path else None
            kept[name] = self._inner(value, option, inner)
        return kept

    def _inner(self, value: Any, key: str, made: object) -> Any:  # noqa: ANN401 - plain values
        if isinstance(value, dict):
            return self.permitted(value, key, made)
        if isinstance(value, list):
            return [self._inner(item, key, None) for item in value]
        return value

    def _foreign(self, name: str, value: Any) -> "Foreign | None":  # noqa: ANN401 - plain values
        """What a setting itself names, not those below it, if that is not allowed."""
        if isinstance(value, list):
            return next(filter(None, (self._foreign(name, item) for item in value)), None)
        is_class = isinstance(value, dict) and "class_path" in value
        text = str(value["class_path"]) if is_class else value
        if not isinstance(text, str) or text in self.names:
            return None
        if not is_class and is_place(name, text):
            return Foreign(text, is_class=False)
        must_be_known = is_class or is_class_path(text)
        unknown = must_be_known and not known_object(text, self.packages)
        return Foreign(text, is_class=True) if unknown else None
