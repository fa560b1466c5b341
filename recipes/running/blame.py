"""Which option a class was made for, where making it fails."""

import re
from collections.abc import Callable, Iterator, Sequence
from traceback import walk_tb
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback

FLAG = re.compile(r"--(?P<key>(model|data|trainer)\.[\w.]+)\+?=(?P<value>.*)")


def made_in(config: Namespace, key: str = "") -> Iterator[tuple[str, str, Namespace]]:
    """The classes that a config names: the option of each, its path and its arguments.

    Args:
        config: of a subcommand
        key: of it, dotted
    """
    if "class_path" in config:
        yield key, config.class_path, config.get("init_args") or Namespace()
    for name, value in vars(config).items():
        below = key if name == "init_args" else f"{key}.{name}".strip(".")
        parts = value if isinstance(value, list) else [value]
        if isinstance(value, dict):
            parts = list(value.values())
        for part in parts:
            if isinstance(part, Namespace):
                yield from made_in(part, below)


def option_of(made: type, arguments: dict[str, Any], config: Namespace) -> str:
    """The option that a class is made for, without dashes; empty if none is."""
    for key, path, given in made_in(config):
        plain = {k: v for k, v in vars(given).items() if not isinstance(v, (Namespace, list, dict))}
        same = all(
            arguments.get(name) == value for name, value in plain.items() if value is not None
        )
        if path.rpartition(".")[2] == made.__name__ and same:
            return key
    return ""


def blamed(text: str, made: type, arguments: dict[str, Any], option: str) -> str:
    """What a constructor says, with the option that it was called for in front.

    Args:
        text: of its error
        made: the class
        arguments: of the constructor
        option: that the class is made for
    """
    if "--" in text or not option:
        return text
    if package := missing(text):
        return f"--{option}={made.__name__} needs {package}: pip install {package}"
    if (named := re.match(r"(\w+)=", text)) and named[1] in arguments:
        return f"--{option}.{text}"
    found = [name for name in arguments if re.search(rf"\b{name}\b", text)]
    told = [name for name in found or arguments if tells(text, arguments[name])]
    if told or len(found) == 1:
        name = (told or found)[0]
        return f"--{option}.{name}={arguments[name]}: {text}"
    return f"--{option}={made.__name__}: {text}"


def tells(text: str, value: Any) -> bool:  # noqa: ANN401 - of any argument
    """Whether a text has a value in it, or a part of it if it is a list."""
    parts = [value, *value] if isinstance(value, (list, tuple)) else [value]
    words = [str(part) for part in parts if not isinstance(part, bool) and part is not None]
    return any(re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w.])", text) for word in words if word)


def missing(text: str) -> str | None:
    """The package that an error says is to be installed."""
    found = re.search(r"pip install (?:-U )?['\"]?([\w\[\]-]+)", text)
    found = found or re.search(r"`(\w+)`.*available.*`pip install`", text)
    return found and found[1]


def by_flags(text: str, command: Sequence[str]) -> str:
    """What an error says, with the first flag in front whose name and value it has, or quotes.

    Args:
        text: of the error
        command: the arguments, as typed
    """
    for flag in filter(None, map(FLAG.fullmatch, command)):
        name, value = flag["key"].rpartition(".")[2], flag["value"]
        parts = value.strip("[]").split(",")
        if (said := f"{name}={value}") in text:
            return text.replace(said, flag[0], 1)
        if f"`{name}`" in text or (re.search(rf"\b{name}\b", text) and tells(text, parts)):
            return f"{flag[0]}: {text}"
    return text


def located(error: BaseException, text: str, command: Sequence[str]) -> str:
    """The text of an error by its flag: `by_flags`, or the one that names the callback at fault.

    Args:
        error: with its traceback
        text: of it
        command: the arguments, as typed
    """
    if (said := by_flags(text, command)) != text:
        return said
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    selves = [frame.f_locals.get("self") for frame in reversed(frames)]
    for name in [type(each).__name__ for each in selves if isinstance(each, Callback)]:
        for flag in command:
            if re.fullmatch(rf"--trainer\.callbacks\+?=([\w.]+\.)?{name}", flag):
                return f"{flag}: {text}"
    return text


def blaming(config: Namespace) -> Callable[..., Any]:
    """What makes classes for jsonargparse, and puts their option before what they say.

    Args:
        config: of the subcommand
    """

    def make(made: type, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - of any class
        try:
            return made(*args, **kwargs)
        except Exception as error:
            if len(error.args) == 1 and isinstance(error.args[0], str):
                option = option_of(made, kwargs, config)
                error.args = (blamed(error.args[0], made, kwargs, option),)
                if isinstance(error, ImportError):
                    error.msg = error.args[0]
            raise

    return make
