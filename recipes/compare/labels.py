"""What tells groups of runs from each other: the settings that vary, in few words."""

import json
from collections.abc import Sequence
from textwrap import shorten
from typing import Any

from recipes.compare.runs import Run
from recipes.running.printable import printable

LABEL = 70  # characters of a label


def same(one: Any, other: Any) -> bool:  # noqa: ANN401 - plain values
    """Whether two settings are equal: 4 and 4.0, which W&B does not tell apart, True and 1 not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def labels(groups: list[list[Run]], varying: list[str]) -> list[str]:
    """What to call each group: its values of the keys that vary, or its runs' name.

    Where a class varies, so do its arguments: the label has the keys that all groups have, if
    these tell them apart and it is short; else as few keys as do. First come those that the runs'
    commands name, which somebody has varied; others may only follow from them.
    """
    if not varying:
        return [groups[0][0].facts.get("config") or groups[0][0].name]
    if "recipe" in varying:
        return of_recipes(groups)
    settings = [runs[0].compared for runs in groups]
    commands = [str(runs[0].facts.get("command")) for runs in groups]
    named = {key for key in varying if any(f"--{key}=" in command for command in commands)}
    keys = sorted(varying, key=lambda key: (key not in named, key))
    shared = [key for key in keys if all(key in each for each in settings)]
    found = [label(each, shared) for each in settings]
    if max(map(len, found)) > LABEL or len(set(found)) < len(found):
        others = [key for key in keys if key not in shared]
        found = [label(each, telling(settings, shared, others)) for each in settings]
    found = [shorten(text, LABEL, placeholder=" ...") for text in found]
    # Told apart by their first run, where what differs is not in all of them or too long.
    return [
        text if text and found.count(text) == 1 else f"{text} ({runs[0].name})".strip()
        for text, runs in zip(found, groups, strict=True)
    ]


def of_recipes(groups: list[list[Run]]) -> list[str]:
    """The recipe of each group, and what tells it from the others of that recipe."""
    recipes = [runs[0].compared["recipe"] for runs in groups]
    found = {}
    for recipe in dict.fromkeys(recipes):
        own = [runs for runs in groups if runs[0].compared["recipe"] == recipe]
        varying = varying_keys([runs[0].compared for runs in own])
        for runs, text in zip(own, labels(own, varying), strict=True):
            found[id(runs)] = f"{recipe}: {text}"
    return [found[id(runs)] for runs in groups]


def varying_keys(settings: Sequence[dict[str, Any]]) -> list[str]:
    """The keys in which settings differ, sorted; one that is absent is null."""
    keys = sorted({key for each in settings for key in each})
    return [k for k in keys if not all(same(s.get(k), settings[0].get(k)) for s in settings)]


def label(settings: dict[str, Any], keys: Sequence[str]) -> str:
    """A setting's values of some keys, of which those that are null say nothing."""
    names = short_names(keys)
    known = [key for key in keys if settings.get(key) is not None]
    return printable(", ".join(f"{names[key]}={shown(key, settings[key])}" for key in known))


def telling(settings: Sequence[dict[str, Any]], *kinds: Sequence[str]) -> list[str]:
    """As few of the keys as tell the settings apart, found one by one.

    Args:
        settings: to be told apart
        kinds: keys; those of a kind only where the kinds before it do not tell all apart
    """

    def told_apart(chosen: Sequence[str]) -> int:
        return len({label(each, chosen) for each in settings})

    chosen: list[str] = []
    known: list[str] = []
    for keys in kinds:
        known += keys
        while told_apart(chosen) < told_apart(known):
            chosen.append(max(keys, key=lambda key: told_apart([*chosen, key])))
    return [key for key in known if key in chosen]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The shortest end of each key that no other has: `lr` for model.optimizer.lr."""
    words = {key: key.removesuffix(".class_path").split(".") for key in keys}
    names = {}
    for key in keys:
        for length in range(1, len(words[key]) + 1):
            name = ".".join(words[key][-length:])
            others = (words[other] for other in keys if other != key)
            if not any(".".join(other[-length:]) == name for other in others):
                break
        names[key] = name
    return names


def shown(key: str, value: Any) -> str:  # noqa: ANN401 - plain values
    """A setting as text: a class by its name, a number in short, none as a dash."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value.rpartition(".")[2] if key.endswith(".class_path") else value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
