"""Recipes' command lines, from Python: for the tools that make many runs of them."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import yaml

from recipes.parts.keys import dotted
from recipes.running.recipe import find_recipe, start_as


def resolved(recipe: str, flags: Sequence[str]) -> dict[str, Any]:
    """The whole config of a `fit` with some flags, `dotted`; arguments as `config_of`."""
    return dotted(config_of(recipe, flags))


def config_of(recipe: str, flags: Sequence[str]) -> dict[str, Any]:
    """The whole config of a `fit` with some flags, as its config.yaml has it.

    Args:
        recipe: name, as `find_recipe` takes it
        flags: of the `fit`

    Raises:
        SystemExit: after a mistake in the flags, with the command line's own line
    """
    from recipes.running.cli import main  # seconds of imports

    shown = io.StringIO()
    try:
        with redirect_stdout(shown):
            main(find_recipe(recipe).module, ["fit", *flags, "--print_config"])
    except SystemExit as stop:
        if stop.code:
            raise
    return yaml.safe_load(shown.getvalue())


def run_recipe(recipe: str, args: list[str]) -> None:
    """Runs a recipe's command line in this process as if it had been started for it.

    Args:
        recipe: name, as `find_recipe` takes it
        args: the arguments, from the subcommand on
    """
    from recipes.running.cli import main  # seconds of imports

    found = find_recipe(recipe)
    start_as(found, args)
    main(found.module, args)
