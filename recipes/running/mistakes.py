"""What the tools beside the recipes share: their arguments, and how they end after a mistake.

It imports nothing that takes long.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from recipes.running.printable import printable


class Parser(argparse.ArgumentParser):
    """Arguments of a tool, described by its card; a mistake in them is raised.

    Args:
        tool: `python -m recipes.<tool>`
        card: its description
    """

    def __init__(self, tool: str, card: str) -> None:
        super().__init__(
            prog=f"python -m recipes.{tool}",
            description=card,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raises a ValueError, for one line instead of a usage and a line."""
        raise ValueError(f"{message.removeprefix('argument ')}, see --help")


@contextmanager
def ending_in_one_line() -> Iterator[None]:
    """Ends the process with one line after an error; RECIPES_DEBUG shows the traceback instead.

    Raises:
        SystemExit: with status 1
    """
    try:
        yield
    except Exception as error:
        if os.environ.get("RECIPES_DEBUG"):
            raise
        if isinstance(error, (ValueError, OSError)):
            sys.exit(f"error: {printable(' '.join(str(error).split()))}")
        from recipes.running.messages import one_line  # seconds of imports

        sys.exit(f"error: {printable(one_line(error))}")
