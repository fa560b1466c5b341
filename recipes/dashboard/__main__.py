"""The command line: python -m recipes.dashboard gan."""

import argparse
import os
import sys
from typing import NoReturn

import recipes.dashboard
from recipes.messages import one_line, recipe_names
from recipes.run import PROJECT


class Parser(argparse.ArgumentParser):
    """A parser whose errors are raised."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parser() -> argparse.ArgumentParser:
    """Of this command line."""
    found = Parser(
        prog="python -m recipes.dashboard",
        description=recipes.dashboard.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    found.add_argument("recipe", choices=recipe_names(), help="whose runs the workspace shows")
    found.add_argument(
        "--entity", default=os.environ.get("WANDB_ENTITY", ""), help="user or team of W&B"
    )
    project = os.environ.get("WANDB_PROJECT", PROJECT)
    found.add_argument("--project", default=project, help=f"of the runs, by default {project}")
    found.add_argument("--name", help="of the workspace, by default recipes.<recipe>")
    found.add_argument(
        "--print", action="store_true", help="print what would be saved, JSON; needs no account"
    )
    return found


def run(args: list[str]) -> None:
    """Saves or prints a workspace.

    Raises:
        ValueError: if the extra is not installed, or an option is missing or wrong
    """
    chosen = parser().parse_args(args)
    try:
        from recipes.dashboard.workspace import build, save, spec
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "wandb_workspaces":
            raise
        raise ValueError("recipes.dashboard needs: pip install -e '.[dashboard]'") from error
    workspace = build(chosen.recipe, chosen.entity, chosen.project, chosen.name)
    if chosen.print:
        print(spec(workspace), end="")
    elif not chosen.entity:
        raise ValueError("--entity is missing: the W&B user or team whose project it is")
    else:
        save(workspace)


def main(args: list[str] | None = None) -> None:
    """Runs the command line; a mistake of the user's ends it with one line.

    Args:
        args: command-line arguments, those of the process by default

    Raises:
        SystemExit: with status 1 after an error
    """
    try:
        run(sys.argv[1:] if args is None else args)
    except Exception as error:
        if os.environ.get("RECIPES_DEBUG"):
            raise
        sys.exit(f"error: {one_line(error)}")


if __name__ == "__main__":
    main()
