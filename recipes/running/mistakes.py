"""What the tools beside the recipes share: their arguments, and how they end after a mistake.

It imports nothing that takes long.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import NoReturn

from recipes.running.printable import printable

CLOSE = 0.85  # of two spellings, from 0 to 1: no option of a recipe is as close to one of a tool


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

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse, which would hand a misspelt option on to the recipe, or miss the right one.

        Raises:
            ValueError: naming the option that is meant; from `error`
        """
        if said := self.misspelt(sys.argv[1:] if args is None else args):
            self.error(said)
        return super().parse_known_args(args, namespace)

    def misspelt(self, args: Iterable[str]) -> str | None:
        """The first option that is none of the tool's and looks like one, and the latter."""
        own = [name for name in self._option_string_actions if name.startswith("--")]
        for arg in args:
            option = arg.partition("=")[0]
            if option.startswith("--") and option not in own and "." not in option:
                if close := get_close_matches(option, own, n=1, cutoff=CLOSE):
                    return f"{option}: there is no such option; is it {close[0]}?"
        return None

    def error(self, message: str) -> NoReturn:
        """Raises a ValueError, for one line instead of a usage and a line."""
        ending = "" if message.endswith("?") else ", see --help"
        raise ValueError(f"{message.removeprefix('argument ')}{ending}")


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
