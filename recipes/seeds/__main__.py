"""The command line: python -m recipes.seeds."""

import argparse
import re

import recipes.seeds
from recipes.running.lock import locked
from recipes.seeds.result import gathered, save
from recipes.seeds.several import complete, end, parsed, refuse
from recipes.seeds.several import parser as shared
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


def parser() -> argparse.ArgumentParser:
    """Of this command; what it does not know is for `fit`."""
    made = shared("seeds", recipes.seeds.__doc__, "-s<seed>")
    made.add_argument(
        "--seeds",
        type=seed_list,
        default="5",
        help="5 (0 to 4), 0-4, 3,7,9 or 3-3 (3 alone); by default 5",
    )
    made.add_argument(
        "--test", action="store_true", help="test each run, once; a column of the table"
    )
    return made


def make(args: list[str]) -> bool:
    """Makes the runs, and tells whether all has gone well.

    Raises:
        ValueError: if another process makes them, or an option is of no use
    """
    given, flags = parsed(parser(), args)
    from recipes.compare.report import compare  # a second of imports, not for --help

    refuse(flags, "seed_everything|ckpt_path", "recipes.seeds sets it, see --seeds")
    runs = [
        Wanted.of_seed(given.recipe, given.name, given.config, flags, seed) for seed in given.seeds
    ]
    lock = runs[0].folder.with_name(f".{given.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock, f"--name={given.name}: these runs are made"):
        good = complete(runs, "fit", given.jobs)
        if given.test:
            good &= complete(runs, "test", given.jobs)
    if given.save and good:
        save(given.save, gathered(runs, given.seeds, given.config, flags))
    if trained := [str(run.folder) for run in runs if run.is_finished]:
        compare(trained, output=runs[0].folder.with_name(given.name))
    return good


def main(args: list[str] | None = None) -> None:
    """Makes the runs; arguments and SystemExit as of `end`."""
    end(make, args)


if __name__ == "__main__":
    main()
