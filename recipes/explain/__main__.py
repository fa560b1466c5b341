"""The command line: python -m recipes.explain."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import recipes.explain
from recipes.running.mistakes import Parser, ending_in_one_line
from recipes.running.trained import Trained, add_which

NAMES = (
    *("integrated_gradients", "gradient_shap", "kernel_shap", "lime"),
    *("feature_ablation", "occlusion", "permutation"),
)


def row_numbers(text: str) -> list[int]:
    """3, or 5-9."""
    if found := re.fullmatch(r"(\d+)(?:-(\d+))?", text):
        first, last = int(found[1]), int(found[2] or found[1])
        if first <= last:
            return list(range(first, last + 1))
    raise argparse.ArgumentTypeError(f"{text} is neither a number, such as 3, nor 5-9")


def parser() -> Parser:
    """Of this command; what it does not know is for `predict` of the run."""
    made = Parser("explain", recipes.explain.__doc__)
    made.add_argument("run", type=Path, help="folder of a run, or a checkpoint in one")
    made.add_argument(
        "--rows",
        type=row_numbers,
        nargs="+",
        metavar="ROW",
        help="of predictions.csv, from 0: 3 5-9; default: the first 100 of a table, 8 of others",
    )
    made.add_argument(
        "--method",
        nargs="+",
        choices=NAMES,
        default=["integrated_gradients"],
        help="one or several; default: integrated_gradients",
    )
    made.add_argument("--class", dest="label", help="to explain; default: the predicted one")
    made.add_argument("--target", help="to explain, of several; default: the first")
    add_which(made)
    made.add_argument("--output", type=Path, help="folder of the files; default: <run>/explain")
    made.add_argument("--drawn", type=int, default=4, help="rows of a table with bars; default: 4")
    made.add_argument(
        "--background",
        type=int,
        default=20,
        help="training rows that stand for a table's absent columns, and for gradient_shap's "
        "baselines; default: 20",
    )
    made.add_argument(
        "--patch", type=int, default=2, help="side of a picture's patches, pixels; default: 2"
    )
    made.add_argument(
        "--window", type=int, default=2, help="side of what occlusion hides; default: 2"
    )
    made.add_argument(
        "--samples", type=int, default=1000, help="that a method draws; default: 1000"
    )
    made.add_argument(
        "--alpha",
        type=float,
        default=0.01,
        help="of LIME's lasso, in standard deviations of the outputs; default: 0.01",
    )
    made.add_argument(
        "--tolerance",
        type=float,
        default=0.01,
        help="share of their absolute sum by which attributions may miss f(x) - f(b); default: "
        "0.01",
    )
    made.add_argument("--seed", type=int, default=0, help="of what is drawn; default: 0")
    return made


def check(arguments: argparse.Namespace) -> None:
    """Raises ValueError with an option that makes no sense."""
    for name in ("drawn", "background", "patch", "window", "samples", "alpha", "tolerance"):
        if getattr(arguments, name) <= 0:
            raise ValueError(f"--{name}={getattr(arguments, name)}: more than 0")
    if arguments.output and arguments.output.is_file():
        raise ValueError(f"--output={arguments.output}: a file, not a folder")


def explain(arguments: argparse.Namespace, flags: Sequence[str]) -> tuple[list[str], bool]:
    """Writes the files.

    Args:
        arguments: of this command
        flags: of `predict`, such as `--data.predict`

    Returns:
        what there is to say, and whether all adds up that has to

    Raises:
        ValueError, OSError: if the run cannot be read, or an option is of no use for it
        SystemExit: with the line of what else went wrong
    """
    check(arguments)
    run = Trained.of(arguments.run, arguments.which)
    from recipes.explain.result import explained  # seconds of imports

    rows = arguments.rows and [number for part in arguments.rows for number in part]
    return explained(run, arguments, rows, flags)


def main(args: list[str] | None = None) -> None:
    """Explains a run's predictions; a mistake of the user's ends in one line.

    Args:
        args: command-line arguments, those of the process by default

    Raises:
        SystemExit: with status 1 after an error, or if attributions do not add up
    """
    with ending_in_one_line():
        lines, is_complete = explain(
            *parser().parse_known_args(sys.argv[1:] if args is None else args)
        )
    print("\n".join(lines))
    if not is_complete:
        sys.exit(1)


if __name__ == "__main__":
    main()
