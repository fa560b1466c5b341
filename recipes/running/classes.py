"""A newly named class starts from its own defaults, and what the old one was given is named.

jsonargparse passes on, in silence, whatever the new class happens to take too: over a config's
AdamW with its rate and weight decay, `--model.optimizer=Adam` would be an Adam with the same
(pytorch-lightning #15796, jsonargparse #205).
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from textwrap import shorten
from typing import Any
from unittest.mock import patch

from jsonargparse import Namespace, _typehints
from jsonargparse._typehints import ActionTypeHint
from jsonargparse._util import import_object
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_info

from recipes.parts.networks import WIDTHS

# What a flag's value looks like that names a class, or describes one.
CLASS = re.compile(r"(?!(?i:true|false|null|none)$)[A-Za-z_][\w.]*$|\{")


@contextmanager
def own_defaults(defaults: Sequence[object] = ()) -> Iterator[list[str]]:
    """Within it, jsonargparse passes no arguments on from one class to another.

    The items of a list that is given anew keep the arguments of the old list's item of the same
    class, wherever it was.

    Args:
        defaults: the parser's own, as `class_path` and `init_args`; nobody misses these

    Yields:
        one line for each class that arguments were dropped of, when all is parsed
    """
    adapt, check = _typehints.adapt_typehints, ActionTypeHint._check_type
    keys: list[str] = []  # of the argument that is being parsed, and of those that it is in
    lines: dict[str, None] = {}

    @wraps(check)  # jsonargparse looks at its parameters
    def check_type(action: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        keys.append(action.dest)
        try:
            return check(action, *args, **kwargs)
        finally:
            keys.pop()

    def adapt_typehints(value: Any, typehint: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        before = kwargs.get("prev_val")
        if isinstance(value, list) and isinstance(before, list) and not kwargs.get("append"):
            kwargs["prev_val"] = aligned(before, value)
        return adapt(value, typehint, *args, **kwargs)

    def discard(owner: Any, before: Any, now: Any) -> None:  # noqa: ANN401
        if not before or "init_args" not in before or before["class_path"] == now["class_path"]:
            return
        given, old = set_by_someone(before), short(before["class_path"])
        if given and not any(is_spec(d, before["class_path"], given) for d in defaults):
            option = ".".join(keys or [getattr(owner, "dest", "")])
            line = f"--{option}={short(now['class_path'])} starts from its own defaults"
            lines[f"{line}, without {old}'s {listing(given)}"] = None
        for key in list(vars(before["init_args"])):
            before["init_args"].pop(key)

    found: list[str] = []
    with (
        patch.object(ActionTypeHint, "_check_type", check_type),
        patch.object(_typehints, "adapt_typehints", adapt_typehints),
        patch.object(_typehints, "discard_init_args_on_class_path_change", discard),
    ):
        yield found
    found += lines


def latest(callbacks: list[Callback], specs: list[Namespace]) -> list[Callback]:
    """Of callbacks that do the same, such as two LRDecay of all optimizers, only the last.

    They are told by the `state_key` that this project's classes give them; all others stay. What
    one that goes was given is named.

    Args:
        callbacks: of a run
        specs: what each was made from, as `class_path` and `init_args`

    Raises:
        ValueError: if an entry names no class: jsonargparse takes the base, which does nothing
    """
    if any(type(callback) is Callback for callback in callbacks):
        raise ValueError("--trainer.callbacks: init_args need a class_path beside them")
    keys = [
        callback.state_key
        if type(callback).__module__.startswith("callbacks.")
        and type(callback).state_key is not Callback.state_key
        else id(callback)
        for callback in callbacks
    ]
    kept = list(dict(zip(keys, callbacks, strict=True)).values())
    for callback, spec in zip(callbacks, specs, strict=False):
        if callback not in kept and (given := set_by_someone(spec)):
            name = type(callback).__name__
            rank_zero_info(
                f"note: --trainer.callbacks: the last {name} starts from its own defaults, without "
                f"the one before's {listing(given)}"
            )
    return kept


def aligned(before: list[Any], now: list[Any]) -> list[Any] | None:
    """For each item of a list its predecessor of the same class in the old list, if it has one."""
    left = list(before)
    found = []
    for item in now:
        name = class_of(item)
        match = next((old for old in left if name and is_named(class_of(old), name)), None)
        if match is not None:
            left = [old for old in left if old is not match]
        found.append(match)
    return found if any(old is not None for old in found) else None


def class_of(value: object) -> str:
    """The class_path of an item of a list, or nothing if it does not name one."""
    if isinstance(value, (dict, Namespace)):
        value = value.get("class_path")
    return value if isinstance(value, str) else ""


def is_named(path: str, name: str) -> bool:
    """Whether a full class_path is meant by a name, which may be short."""
    return path == name or short(path) == name


def short(path: str) -> str:
    """The last part of a class_path."""
    return path.rpartition(".")[2]


def shown(value: object) -> str:
    """A value in a line: a class by its short name."""
    if isinstance(value, (dict, Namespace)) and class_of(value):
        return short(class_of(value))
    return shorten(str(value), 60)


def listing(given: dict[str, Any]) -> str:
    """Arguments in a line."""
    return ", ".join(f"{key}={shown(value)}" for key, value in given.items())


def set_by_someone(spec: Namespace) -> dict[str, Any]:
    """The arguments of a class that are not its own defaults."""
    if not spec.get("init_args"):
        return {}
    own = own_arguments(spec["class_path"])
    given = vars(spec["init_args"])
    # A size that is to come from the data is None.
    known = {k: v for k, v in given.items() if v is not None or k not in WIDTHS}
    return {k: v for k, v in known.items() if plain(v) != plain(own.get(k))}


def own_arguments(class_path: str) -> dict[str, Any]:
    """The defaults of a class, also of what it passes on to its parents, or of a function."""
    made = import_object(class_path)
    makers = (
        [parent.__init__ for parent in reversed(made.__mro__)] if inspect.isclass(made) else [made]
    )
    return {
        name: parameter.default
        for maker in makers
        for name, parameter in inspect.signature(maker).parameters.items()
        if parameter.default is not parameter.empty
    }


def plain(value: object) -> object:
    """A tuple as a list, which is how YAML has it."""
    return list(value) if isinstance(value, tuple) else value


def is_spec(default: object, class_path: str, given: dict[str, Any]) -> bool:
    """Whether a class and its arguments are what a parser has as a default."""
    if not isinstance(default, dict) or default.get("class_path") != class_path:
        return False
    return {k: plain(v) for k, v in default.get("init_args", {}).items()} == {
        k: plain(v) for k, v in given.items()
    }


def classes_first(flags: list[str]) -> list[str]:
    """Flags in an order in which a class is named before its arguments are given.

    Otherwise the rate in `--model.optimizer.lr=0.1 --model.optimizer=SGD` would be the old
    optimizer's, and dropped with it.

    Args:
        flags: of a command line, as the user gave them
    """
    groups: list[list[str]] = []  # an option with its values
    for word in flags:
        if word.startswith("--") or not groups:
            groups.append([])
        groups[-1].append(word)
    ordered: list[tuple[str, list[str]]] = []
    for group in groups:
        option, _, value = " ".join(group).replace(" ", "=", 1).partition("=")
        key = option.removesuffix(".class_path")
        of_it = [i for i, (other, _) in enumerate(ordered) if f"{other}.".startswith(f"{key}.")]
        again = any(ordered[i][0] == key for i in of_it)
        place = of_it[0] if of_it and not again and CLASS.match(value) else len(ordered)
        ordered.insert(place, (key, group))
    return [word for _, group in ordered for word in group]
