"""Runs of the command line that a table is made of: started once, resumed, then read."""

import json
import statistics
import subprocess
import sys
from pathlib import Path


def finished(recipe: str, name: str, *flags: str) -> Path:
    """The folder of a run that has been trained and tested, by `fit` and one `test`.

    What is there already is not run again, and what was cut off is resumed.

    Args:
        recipe: the technique
        name: of the run's folder
        flags: of its `fit`
    """
    folder = Path("runs", recipe, name)
    checkpoint = folder / "checkpoints" / "last.ckpt"
    if not (folder / "done").exists():
        resume = (
            [f"--ckpt_path={checkpoint}"] if checkpoint.exists() else [f"--name={name}", *flags]
        )
        command = [sys.executable, "-m", f"recipes.{recipe}"]
        subprocess.run([*command, "fit", *resume], check=True)
        subprocess.run([*command, "test", f"--ckpt_path={checkpoint}"], check=True)
        (folder / "done").touch()
    return folder


def last_row(path: Path) -> dict[str, float]:
    """The last row of a run's metrics file."""
    return json.loads(path.read_text().splitlines()[-1])


def mean_std(values: list[float], digits: int = 1) -> str:
    """For example "74.3 ± 2.1": mean and standard deviation (n - 1) over seeds."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"
