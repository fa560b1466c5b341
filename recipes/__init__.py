"""One package per training technique; each runs as `python -m recipes.<technique>`."""

import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent


def refuse_shadows() -> None:
    """Refuses to go on where a package of the user's has the name of one of this project's.

    Raises:
        SystemExit: that names its folder
    """
    for name in ("callbacks", "datamodules"):
        found = find_spec(name)
        if found and found.origin and Path(found.origin) != HERE.parent / name / "__init__.py":
            sys.exit(
                f"error: {Path(found.origin).parent} hides this project's {name}: rename it, or "
                "start from another folder, or by python -P, which does not look in this one"
            )


refuse_shadows()
