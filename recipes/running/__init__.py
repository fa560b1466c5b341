"""From the command line to the Trainer: what runs every recipe."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # seconds, of which some tools have no need
    from lightning.pytorch import Callback, LightningModule

__all__ = ["main"]


def main(
    module: "type[LightningModule]",
    args: list[str] | None = None,
    callbacks: "Sequence[Callback]" = (),
) -> None:
    """Runs a recipe's command line; a mistake of the user's ends it with one line.

    At the top of a file that is imported it does nothing: so recipes.seeds finds the module in a
    file without `if __name__ == "__main__"`.

    Set the environment variable RECIPES_DEBUG to see the traceback instead.

    Args:
        module: the recipe's LightningModule
        args: command-line arguments, those of the process by default
        callbacks: further ones, which no config names

    Raises:
        SystemExit: with status 1 after an error, 143 after a termination signal
    """
    caller = sys._getframe(1)
    if caller.f_code.co_name == "<module>" and caller.f_globals["__name__"] != "__main__":
        return
    from recipes.running.cli import main

    main(module, args, callbacks)
