"""Recipes' command lines, from Python: for the tools that make many runs of them."""

import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from typing import Any

import yaml

from recipes.parts.keys import dotted
from recipes.running.cli import main, recipe_class


def resolved(recipe: str, flags: Sequence[str]) -> dict[str, Any]:
    """The whole config of a `fit` with some flags, `dotted`.

    Raises:
        SystemExit: after a mistake in the flags, with the command line's own line
    """
    shown = io.StringIO()
    try:
        with redirect_stdout(shown):
            main(recipe_class(recipe), ["fit", *flags, "--print_config"])
    except SystemExit as stop:
        if stop.code:
            raise
    return dotted(yaml.safe_load(shown.getvalue()))


def run_recipe(recipe: str, args: list[str]) -> None:
    """Runs a recipe's command line in this process as if it had been started for it.

    Args:
        recipe: the technique
        args: the arguments, from the subcommand on
    """
    # Lightning's ddp starts the further processes by these.
    sys.argv = [f"recipes.{recipe}", *args]
    sys.modules["__main__"].__spec__ = find_spec(f"recipes.{recipe}.__main__")
    main(recipe_class(recipe), args)
