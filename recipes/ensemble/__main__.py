"""The command line: python -m recipes.ensemble."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import recipes.ensemble
from recipes.running.mistakes import Parser, ending_in_one_line
from recipes.running.trained import Trained, add_which

METHODS = ("average", "selected", "soup", "greedy_soup")


def parser() -> Parser:
    """Of this command; what it does not know is for `validate` and `predict` of the runs."""
    made = Parser("ensemble", recipes.ensemble.__doc__)
    made.add_argument("runs", type=Path, nargs="+", help="folders of runs, or checkpoints in them")
    add_which(made)
    made.add_argument(
        "--metric",
        help="by which runs are chosen, on validation: accuracy, nll, rmse or pinball; default: "
        "nll, or else pinball or rmse",
    )
    made.add_argument(
        "--rounds", type=int, default=50, help="of the greedy selection; by default 50"
    )
    made.add_argument(
        "--method",
        choices=METHODS,
        default="selected",
        help="that predictions.csv is of; default: selected",
    )
    made.add_argument("--output", type=Path, help="folder of what is written")
    return made


def ensemble(arguments: argparse.Namespace, flags: Sequence[str]) -> str:
    """Writes the files; returns the table.

    Args:
        arguments: of this command
        flags: of `validate` and `predict`, such as `--data.predict`

    Raises:
        ValueError, OSError: with what is wrong with an option, or a run
    """
    if arguments.rounds < 1:
        raise ValueError(f"--rounds={arguments.rounds}: 1 or more")
    runs = [Trained.of(run, arguments.which) for run in arguments.runs]
    checkpoints = [run.checkpoint.resolve() for run in runs]
    if len({*checkpoints}) < max(2, len(runs)):
        raise ValueError("give two or more different runs")
    output = arguments.output or runs[0].folder.parent / "ensemble"
    if output.is_file():
        raise ValueError(f"--output={output}: a file, not a folder")
    from recipes.ensemble.result import choose  # seconds of imports

    made = choose(runs, flags, arguments.metric, arguments.rounds)
    made.check_method(arguments.method)
    predicted = made.predict()
    paths = made.write(output, arguments.method, predicted)
    lines = [made.table(predicted)]
    lines += [f"no soup: {made.no_soup}"] if made.no_soup else []
    files = ", ".join(map(str, paths))
    return "\n".join(
        [*lines, f"chosen by val/{made.metric}; predictions: {arguments.method}; {files}"]
    )


def main(args: list[str] | None = None) -> None:
    """Makes an ensemble of runs; a mistake of the user's ends in one line.

    Args:
        args: command-line arguments, those of the process by default

    Raises:
        SystemExit: with status 1 after an error
    """
    with ending_in_one_line():
        print(ensemble(*parser().parse_known_args(sys.argv[1:] if args is None else args)))


if __name__ == "__main__":
    main()
