"""Draws the pictures of the pages from runs, which it makes where they are not in ./runs.

python benchmarks/page_pictures.py [NAME ...]      all by default

A picture is a function of its page's name here; it is written to benchmarks/pictures/<name>.png.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

from tables import finished

PICTURES = Path(__file__).parent / "pictures"


def distill(path: Path) -> None:
    """Accuracy of teacher, student and student alone over the epochs of the default run."""
    run = finished("distill", "digits", "page", test=False)
    shutil.copy(run / "curves.png", path)


DRAWN: dict[str, Callable[[Path], None]] = {"distill": distill}


def main() -> None:
    """Runs the command."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *DRAWN], default=[])
    for name in parser.parse_args().names or DRAWN:
        DRAWN[name](PICTURES / f"{name}.png")
        print(PICTURES / f"{name}.png", flush=True)


if __name__ == "__main__":
    main()
