"""What may be given: the options of a class, and the classes that an option takes."""

from collections.abc import Iterable
from difflib import get_close_matches
from inspect import isabstract
from typing import Any, get_args, get_origin

from jsonargparse import ArgumentParser, Namespace
from jsonargparse._util import import_object

PLAIN = (type(None), str, int, float, bool, list, dict, Namespace)


def options_of(path: str) -> list[str]:
    """The options of a class, or of a function that makes something, by its path."""
    parser, made = ArgumentParser(), named(path)
    add = parser.add_class_arguments if isinstance(made, type) else parser.add_function_arguments
    names = add(made, fail_untyped=False, sub_configs=True)
    return [name for name in names if name != "params"]  # which an optimizer gets otherwise


def named(path: str) -> object:
    """What a class_path is of; None if there is no such thing."""
    try:
        return import_object(path)
    except (ValueError, ImportError, AttributeError):
        return None


def fitting(parser: ArgumentParser | None, option: str) -> list[type]:
    """The classes that an option of a parser takes; none if that is not known."""
    actions = [action for action in parser._actions if action.dest == option] if parser else []
    kinds = [getattr(action, "_typehint", None) for action in actions]
    return subclasses(found for kind in kinds for found in classes(kind))


def classes(kind: Any) -> list[type]:  # noqa: ANN401 - a type, or an expression of types
    """The classes that a type hint names."""
    if isinstance(kind, type) and get_origin(kind) is None:
        return [] if kind in PLAIN else [kind]
    return [found for part in get_args(kind) for found in classes(part)]


def subclasses(of: Iterable[type]) -> list[type]:
    """Classes, and all that are made of them."""
    return [each for one in of for each in [one, *subclasses(one.__subclasses__())]]


def concrete(known: Iterable[type], name: str) -> list[str]:
    """The names of the classes that are made of an abstract one.

    Args:
        known: classes, among them the abstract one
        name: of the abstract one
    """
    made = subclasses(each for each in known if each.__name__ == name)
    return sorted({each.__name__ for each in made if not isabstract(each)})


def similar(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that may be meant, empty if none is like it."""
    close = get_close_matches(name, sorted(set(known)), n=1)
    return f"; is it {close[0]}?" if close else ""
