"""The command line: python -m recipes.seeds."""

import argparse
import re
import sys
from pathlib import Path

from tqdm import tqdm

import recipes.seeds
from recipes.running.commands import run_recipe
from recipes.running.launch import Task, last_line, launch
from recipes.running.lock import locked
from recipes.running.mistakes import Parser, ending_in_one_line
from recipes.running.recipe import find_recipe, recipe_names
from recipes.seeds.result import gathered, save
from recipes.seeds.wanted import Wanted


def seed_list(text: str) -> list[int]:
    """The seeds that are meant: "5" by the number of them, "0-4" and "3,7,9" by themselves."""
    if re.fullmatch(r"[1-9]\d*", text):
        return list(range(int(text)))
    if re.fullmatch(r"\d+(,\d+)+", text):
        return list(dict.fromkeys(map(int, text.split(","))))
    if span := re.fullmatch(r"(\d+)-(\d+)", text):
        if seeds := list(range(int(span[1]), int(span[2]) + 1)):
            return seeds
    raise argparse.ArgumentTypeError(f"{text} is neither a number, such as 5, nor 0-4, nor 3,7,9")


def parser() -> Parser:
    """Of this command; what it does not know is for `fit`."""
    made = Parser("seeds", recipes.seeds.__doc__)
    made.add_argument(
        "--recipe",
        required=True,
        help=f"{', '.join(recipe_names())}, or the module of your own, such as lab.vae",
    )
    made.add_argument("--config", action="append", default=[], help="as for the recipe's fit")
    made.add_argument(
        "--seeds",
        type=seed_list,
        default="5",
        help="5 (0 to 4), 0-4, 3,7,9 or 3-3 (3 alone); by default 5",
    )
    made.add_argument("--name", help="of the runs, before -s<seed>; by default the config's")
    made.add_argument("--jobs", type=int, default=1, help="runs at once; by default 1")
    made.add_argument(
        "--test", action="store_true", help="test each run, once; a column of the table"
    )
    made.add_argument("--save", type=Path, metavar="FILE", help="keep all numbers as JSON")
    return made


def wanted(arguments: argparse.Namespace, flags: list[str]) -> list[Wanted]:
    """The runs, one a seed.

    Raises:
        ValueError: if a flag sets what this command does, or the name is of another place
    """
    if Path(arguments.name).name != arguments.name:
        raise ValueError(f"--name={arguments.name}: a name, not a path")
    for flag in flags:
        if re.match(r"--(seed_everything|ckpt_path)\b", flag):
            raise ValueError(f"{flag}: recipes.seeds sets it, see --seeds")
    return [
        Wanted.of_seed(arguments.recipe, arguments.name, arguments.config, flags, seed)
        for seed in arguments.seeds
    ]


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


def make(args: list[str]) -> bool:
    """Makes the runs, and tells whether all has gone well.

    Raises:
        ValueError: if another process makes them, or an option is of no use
    """
    from recipes.compare.report import compare

    arguments, flags = parser().parse_known_args(args)
    if arguments.jobs < 1:
        raise ValueError(f"--jobs={arguments.jobs}: 1 or more")
    recipe = find_recipe(arguments.recipe)
    if not arguments.config and recipe.default:
        arguments.config = [recipe.default.stem]
    named = "-".join(Path(file).stem for file in arguments.config)
    arguments.name = arguments.name or named or recipe.name
    runs = wanted(arguments, flags)
    lock = runs[0].folder.with_name(f".{arguments.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock, f"--name={arguments.name}: these runs are made"):
        good = complete(runs, "fit", arguments.jobs)
        if arguments.test:
            good &= complete(runs, "test", arguments.jobs)
    if arguments.save and good:
        save(arguments.save, gathered(runs, arguments.seeds, arguments.config, flags))
    if trained := [str(run.folder) for run in runs if run.is_finished]:
        compare(trained, output=runs[0].folder.with_name(arguments.name))
    return good


def main(args: list[str] | None = None) -> None:
    """Makes the runs; a mistake of the user's ends in one line.

    Args:
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


if __name__ == "__main__":
    main()
