"""Sizes of networks in a config of the recipe that other data, or another loss, may change."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from recipes.parts.keys import dotted, is_place, is_seed
from recipes.parts.networks import WIDTHS
from recipes.running.config_files import read_config_file
from recipes.running.flags import pairs, read_value
from recipes.running.recipe import Recipe
from recipes.running.resume import HOW


def lapsed(args: Sequence[str], recipe: Recipe) -> set[str]:
    """The sizes that a config of the recipe gives before another config or a flag decides anew.

    The config's own data and loss need these; those that are named later may need others. A size
    that a flag or a file of the user's gives stands.

    Args:
        args: of a subcommand, with all configs, as `in_order` gives them
        recipe: that is run

    Returns:
        their keys, `dotted`
    """
    given: set[str] = set()
    found: set[str] = set()
    for is_shipped, keys in sources(args, recipe):
        sizes = {key for key in keys if key.startswith("model.") and key.split(".")[-1] in WIDTHS}
        if any(map(decides, keys)):
            found |= given
        found -= sizes
        given = given | sizes if is_shipped else given - sizes
    return found


def sources(args: Sequence[str], recipe: Recipe) -> Iterator[tuple[bool, list[str]]]:
    """The settings that each argument gives.

    Yields:
        whether it is a config of the recipe's, and the keys, `dotted`
    """
    for key, text in pairs(args):
        value = read_value(text)
        if key != "config":
            yield False, list(dotted({key.replace(".init_args", ""): value}))
        elif isinstance(value, dict):  # a checkpoint's hyperparameters
            yield False, list(dotted(value))
        else:
            is_shipped = Path(text).resolve().parent == recipe.folder
            yield is_shipped, list(dotted(read_config_file(text)))


def decides(key: str) -> bool:
    """Whether a setting may decide over sizes: of the data, or such as --model.loss."""
    if is_seed(key) or is_place(key) or key in HOW:
        return False
    return key == "data" or key.startswith("data.") or re.fullmatch(r"model\.\w+", key) is not None
