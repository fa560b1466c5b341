"""The command line: python -m recipes.export."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import recipes.export
from recipes.running.mistakes import Parser, ending_in_one_line
from recipes.running.trained import Trained, add_which


def parser() -> Parser:
    """Of this command; what it does not know is for `validate`."""
    made = Parser("export", recipes.export.__doc__)
    made.add_argument("run", type=Path, help="folder of a run, or a checkpoint in one")
    made.add_argument(
        "--format",
        required=True,
        choices=["onnx", "torch_export", "safetensors", "adapter"],
        help="of the file",
    )
    add_which(made)
    made.add_argument("--output", type=Path, help="path of the file; default: in the run's folder")
    made.add_argument(
        "--tolerance",
        type=float,
        default=1e-4,
        help="largest difference from the run's predictions, relative where they are above 1; "
        "default: 0.0001",
    )
    return made


def export(arguments: argparse.Namespace, flags: Sequence[str]) -> str:
    """Writes the file; returns what there is to say of it.

    Args:
        arguments: of this command
        flags: of `validate`

    Raises:
        ValueError, OSError: if the run cannot be read
        SystemExit: with the line of what else went wrong
    """
    if arguments.output and arguments.output.is_dir():
        raise ValueError(f"--output={arguments.output}: a folder, not a file")
    run = Trained.of(arguments.run, arguments.which)
    from recipes.export.formats import FORMATS  # seconds of imports
    from recipes.export.writer import Writer

    path = arguments.output or run.folder / FORMATS[arguments.format][0]
    writer = Writer(arguments.format, path, arguments.tolerance, str(run.checkpoint))
    run.ask("validate", [writer], flags)
    return f"{path}: {writer.said}"


def main(args: list[str] | None = None) -> None:
    """Exports a run; a mistake of the user's ends in one line.

    Args:
        args: command-line arguments, those of the process by default

    Raises:
        SystemExit: with status 1 after an error, or if the file predicts otherwise than the run
    """
    with ending_in_one_line():
        print(export(*parser().parse_known_args(sys.argv[1:] if args is None else args)))


if __name__ == "__main__":
    main()
