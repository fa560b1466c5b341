"""What the tools that make several runs of one config share: options, the runs, how they end."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from recipes.running.commands import run_recipe
from recipes.running.config_files import config_name, shipped_config
from recipes.running.launch import Task, last_line, launch
from recipes.running.mistakes import Parser, ending_in_one_line
from recipes.running.recipe import find_recipe, recipe_names
from recipes.seeds.wanted import Wanted


def parser(tool: str, card: str, suffix: str) -> Parser:
    """Of a tool; what it does not know is for `fit`.

    Args:
        tool: its name
        card: its description
        suffix: what follows --name in a run's name, such as -s<seed>
    """
    made = Parser(tool, card)
    made.add_argument(
        "--recipe",
        required=True,
        help=f"{', '.join(recipe_names())}, or the module of your own, such as lab.vae",
    )
    made.add_argument("--config", action="append", default=[], help="as for the recipe's fit")
    made.add_argument(
        "--name",
        help=f"of the runs, before {suffix}; by default the config's, or "
        "that of the file of --data.path",
    )
    made.add_argument("--jobs", type=int, default=1, help="runs at once; by default 1")
    made.add_argument("--save", type=Path, metavar="FILE", help="keep all numbers as JSON")
    return made


def parsed(made: Parser, args: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """A tool's options, with the name that they leave open, and flags of `fit`.

    Raises:
        ValueError: if an option is of no use
        FileNotFoundError: if there is no such config
    """
    arguments, flags = made.parse_known_args(args)
    if arguments.jobs < 1:
        raise ValueError(f"--jobs={arguments.jobs}: 1 or more")
    recipe = find_recipe(arguments.recipe)
    configs = [shipped_config(name, recipe) for name in arguments.config]
    arguments.name = arguments.name or config_name(configs, flags, recipe)
    if Path(arguments.name).name != arguments.name:
        raise ValueError(f"--name={arguments.name}: a name, not a path")
    return arguments, flags


def refuse(flags: list[str], names: str, why: str) -> None:
    """Refuses flags that a tool sets itself.

    Args:
        flags: of `fit`
        names: of those, as a regular expression
        why: the end of the message

    Raises:
        ValueError: naming the flag
    """
    for flag in flags:
        if re.match(rf"--({names})\b", flag):
            raise ValueError(f"{flag}: {why}")


def complete(runs: list[Wanted], subcommand: str, jobs: int) -> bool:
    """Does what is still to be done of some runs, and tells whether all has gone well."""
    commands = {run: run.remaining(subcommand) for run in runs}
    tasks = [
        Task(run.name, run_recipe, (run.recipe, args), run.folder.with_name(f"{run.name}.log"))
        for run, args in commands.items()
        if args
    ]
    good = True
    with tqdm(total=len(runs), initial=len(runs) - len(tasks), desc=subcommand) as bar:
        preload = ["recipes.running.cli", find_recipe(runs[0].recipe).module.__module__]
        for task, status in launch(tasks, jobs, preload):
            bar.update()
            if status:
                good = False
                bar.write(f"{task.name}: {last_line(task.log)} ({task.log})", file=sys.stderr)
    return good


def end(make: Callable[[list[str]], bool], args: list[str] | None) -> None:
    """Runs a tool; a mistake of the user's ends in one line.

    Args:
        make: makes the runs and tells whether all has gone well
        args: command-line arguments, those of the process by default

    Raises:
        SystemExit: with status 1 after an error, or if a run has failed; 130 after Ctrl-C
    """
    with ending_in_one_line():
        try:
            good = make(sys.argv[1:] if args is None else args)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on", file=sys.stderr)
            sys.exit(130)
    if not good:
        sys.exit(1)
