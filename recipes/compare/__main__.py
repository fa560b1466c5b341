"""The command line: python -m recipes.compare."""

from pathlib import Path

from recipes import compare as card
from recipes.compare.report import compare
from recipes.running.mistakes import Parser, ending_in_one_line
from recipes.running.recipe import find_recipe


def main(args: list[str] | None = None) -> None:
    """Compares the runs that are named, or all of `runs`.

    Args:
        args: command-line arguments, those of the process by default

    Raises:
        SystemExit: with one line, after an error
    """
    parser = Parser("compare", card.__doc__)
    parser.add_argument(
        "runs",
        nargs="*",
        default=["runs"],
        help="run folders, folders above them, W&B's folders on disk, or a W&B entity/project; "
        "default: runs",
    )
    parser.add_argument(
        "--recipe",
        help="only its runs: such as distill, or the module of your own, such as lab.vae",
    )
    parser.add_argument("--metric", help="log key to compare by; default: what the recipe is about")
    parser.add_argument(
        "--output", type=Path, help="folder of the files; default: the one that holds the runs"
    )
    parser.add_argument("--csv", type=Path, help="file for the table with all digits")
    parser.add_argument(
        "--baseline",
        metavar="NAME",
        help="a run, or a setting's label: the table has the others' differences to it, between "
        "runs of the same seeds, with 95%% bootstrap intervals",
    )
    with ending_in_one_line():
        given = parser.parse_args(args)
        runs = given.runs
        if given.recipe:
            name = find_recipe(given.recipe).name
            runs = [str(Path(folder, name)) for folder in runs]
        compare(runs, given.metric, given.output, given.csv, given.baseline)


if __name__ == "__main__":
    main()
