"""The command line: python -m recipes.dashboard gan."""

import os
import sys

import recipes.dashboard
from recipes.running.folders import PROJECT
from recipes.running.mistakes import Parser, ending_in_one_line
from recipes.running.recipe import recipe_names


def parser() -> Parser:
    """Of this command line."""
    found = Parser("dashboard", recipes.dashboard.__doc__)
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
    with ending_in_one_line():
        run(sys.argv[1:] if args is None else args)


if __name__ == "__main__":
    main()
