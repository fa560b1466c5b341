"""The command line: python -m recipes.quantize."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import recipes.quantize
from recipes.running.mistakes import Parser, ending_in_one_line
from recipes.running.trained import Trained, add_which

SCHEMES = ("dynamic_int8", "static_int8", "int4_weight", "bf16")


def positive(text: str) -> int:
    """A number that is 1 or more, of an option.

    Raises:
        ArgumentTypeError: if it is another
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return int(text)


def parser() -> Parser:
    """Of this command; what it does not know is for `validate`."""
    made = Parser("quantize", recipes.quantize.__doc__)
    made.add_argument("run", type=Path, help="folder of a run, or a checkpoint in one")
    made.add_argument("--scheme", required=True, choices=SCHEMES, help="what becomes smaller")
    add_which(made)
    made.add_argument("--output", type=Path, help="path of the file; default: in the run's folder")
    made.add_argument(
        "--calibration",
        type=positive,
        default=32,
        metavar="BATCHES",
        help="of training rows that static_int8 takes ranges from; default: 32",
    )
    made.add_argument(
        "--rows", type=positive, default=64, help="of the batch that is timed; default: 64"
    )
    made.add_argument(
        "--tolerance",
        type=float,
        default=0.02,
        help="largest difference of the file's predictions from those of the measured network, "
        "relative where they are above 1; default: 0.02",
    )
    return made


def quantize(arguments: argparse.Namespace, flags: Sequence[str]) -> str:
    """Writes the file and the table; returns the table.

    Args:
        arguments: of this command
        flags: of `validate`

    Raises:
        ValueError, OSError: if the run cannot be read or quantized
        SystemExit: with the line of what else went wrong
    """
    if arguments.output and arguments.output.is_dir():
        raise ValueError(f"--output={arguments.output}: a folder, not a file")
    run = Trained.of(arguments.run, arguments.which)
    from recipes.quantize.loading import Loaded  # seconds of imports
    from recipes.quantize.measuring import measured, table

    path = arguments.output or run.folder / f"model.{arguments.scheme}.onnx"
    loaded = Loaded.of(run, flags)
    found = measured(loaded, path, arguments)
    return f"{table(found)}\n{path}, {path.with_suffix('.json')}"


def main(args: list[str] | None = None) -> None:
    """Quantizes a run; a mistake of the user's ends in one line.

    Args:
        args: command-line arguments, those of the process by default

    Raises:
        SystemExit: with status 1 after an error, or if the file predicts otherwise
    """
    with ending_in_one_line():
        print(quantize(*parser().parse_known_args(sys.argv[1:] if args is None else args)))


if __name__ == "__main__":
    main()
