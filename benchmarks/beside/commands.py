"""What people wait for: help, the first step, the first run, a comparison; seconds on the clock."""

import compileall
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from beside.comparison import Comparison, Goal
from compare_speed import copies

IMPORTS = "import lightning, wandb"
FIRST_STEP = """
import os, sys
from lightning.pytorch import Callback
from recipes.distill import Distill
from recipes.running import main
class First(Callback):
    def on_train_batch_end(self, *args):
        sys.stdout.flush()
        os._exit(0)
main(Distill, ["fit"], [First()])
"""
RUNS, ROWS = 12, 1000
ROOT = Path(__file__).parents[2]


@cache
def environment() -> dict[str, str]:
    """The process's own, with this project's modules compiled, as Python leaves them at first use.

    Where PYTHONDONTWRITEBYTECODE is set, each command would compile them anew, but not the packages
    that pip has compiled, which it is compared with.
    """
    for package in ("recipes", "callbacks", "datamodules"):
        compileall.compile_dir(ROOT / package, quiet=2)
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def waited(*arguments: str) -> float:
    """Seconds on the clock until a Python ends, in a folder of its own.

    Raises:
        subprocess.CalledProcessError: if it fails
    """
    kept = {"env": environment(), "check": True, "capture_output": True}
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=folder, **kept)
        return time.perf_counter() - start


def compared() -> float:
    """Seconds that `recipes.compare` takes for 12 runs of 1,000 rows."""
    with TemporaryDirectory() as folder:
        copies(Path(folder), RUNS, ROWS)
        return waited("-m", "recipes.compare", folder)


def comparison() -> Comparison:
    """Sides and goals of each command."""
    return Comparison(
        "commands, seconds on the clock",
        {
            IMPORTS: lambda: waited("-c", IMPORTS),
            "fit --help": lambda: waited("-m", "recipes.distill", "fit", "--help"),
            "first step after Enter": lambda: waited("-c", FIRST_STEP),
            f"compare of {RUNS} runs": compared,
        },
        [
            Goal("fit --help", IMPORTS, 1.1),
            Goal("first step after Enter", IMPORTS, 1.25),
            Goal(f"compare of {RUNS} runs", "", 2.0),
        ],
    )


def comparison_of_first_run() -> Comparison:
    """The goal of what everybody sees first."""
    sides = {"python -m recipes.distill fit": lambda: waited("-m", "recipes.distill", "fit")}
    goals = [Goal("python -m recipes.distill fit", "", 60.0)]
    return Comparison("the first run, seconds on the clock", sides, goals, rounds=0.6)
