"""How the tools beside the recipes end after a mistake: without importing what they do not need."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
            sys.exit(f"error: {' '.join(str(error).split())}")
        from recipes.messages import one_line  # seconds of imports

        sys.exit(f"error: {one_line(error)}")
