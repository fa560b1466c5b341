"""Runs of the command line that a table is made of: started once, resumed, then read."""

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path


def finished(recipe: str, config: str, name: str, *flags: str, test: bool = True) -> Path:
    """The folder of a run that has been trained, by `fit`, and tested, by one `test`.

    What is there already is not run again, and what was cut off is resumed.

    Args:
        recipe: the technique
        config: bare name of the shipped config
        name: of the run's folder
        flags: of its `fit`
        test: whether to test it

    Raises:
        SystemExit: if the folder holds a run with another config or other flags
    """
    folder = Path("runs", recipe, name)
    settings, made = folder / "settings", Path("recipes", recipe, f"{config}.yaml").read_text()
    wanted = "\n".join([*flags, made])
    if settings.exists() and settings.read_text() != wanted:
        sys.exit(f"error: {folder} was made with other settings; move it away")
    checkpoint = folder / "checkpoints" / "last.ckpt"
    command = [sys.executable, "-m", f"recipes.{recipe}"]
    if not (folder / "trained").exists():
        resume = [f"--ckpt_path={checkpoint}"]
        if not checkpoint.exists():
            shutil.rmtree(folder, ignore_errors=True)  # cut off in its first epoch
            resume = [f"--config={config}", f"--name={name}", *flags]
        subprocess.run([*command, "fit", *resume], check=True)
        settings.write_text(wanted)
        (folder / "trained").touch()
    if test and not (folder / "test.jsonl").exists():
        subprocess.run([*command, "test", f"--ckpt_path={checkpoint}"], check=True)
    return folder


def last_row(path: Path) -> dict[str, float]:
    """The last row of a run's metrics file."""
    return json.loads(path.read_text().splitlines()[-1])


def mean_std(values: list[float], digits: int = 1) -> str:
    """For example "74.3 ± 2.1": mean and standard deviation (n - 1) over seeds."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"
