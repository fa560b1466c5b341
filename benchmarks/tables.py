"""Runs of the command line that a table is made of: started once, resumed, then read."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from recipes.seeds.wanted import Wanted


def finished(recipe: str, config: str, name: str, *flags: str, test: bool = True) -> Path:
    """The folder of a run that has been trained, by `fit`, and tested, by one `test`.

    Args:
        recipe: the technique
        config: bare name of the shipped config
        name: of the run's folder
        flags: of its `fit`
        test: whether to test it

    Raises:
        SystemExit: as `finish`
    """
    run = Wanted(recipe, name, (f"--config={config}", *flags))
    finish(run, test)
    return run.folder


def finish(run: Wanted, test: bool = True) -> None:
    """Trains a run and tests it once; not again what is there, and what was cut off is resumed.

    Raises:
        SystemExit: if the folder holds a run with other settings
    """
    for subcommand in ("fit", "test") if test else ("fit",):
        try:
            remaining = run.remaining(subcommand)
        except ValueError as error:
            sys.exit(f"error: {error}")
        if remaining:
            subprocess.run([sys.executable, "-m", f"recipes.{run.recipe}", *remaining], check=True)


def last_row(path: Path) -> dict[str, float]:
    """The last row of a run's metrics file."""
    return json.loads(path.read_text().splitlines()[-1])


def mean_std(values: list[float], digits: int = 1) -> str:
    """For example "74.3 ± 2.1": mean and standard deviation (n - 1) over seeds; of one, "74.3"."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean
