"""Trains each recipe for 20,000 steps, and looks for what grows: memory, open files, time, files.

python benchmarks/soak.py [--recipes classify gan ...] [--steps 20000] [--anew]

Each step is logged, each epoch of about 20 steps is validated and saved. What is measured is in
benchmarks/soak.json, recipe by recipe: what is cut off goes on with what is missing. Speed is in
steps per second of the processor's time, which does not depend on what else the machine does.
About 35 minutes on one core.
"""

import argparse
import json
import math
import os
import tempfile
import time
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

import pages
from killing import processes
from killing.arms import ours
from killing.setups import BATCH, HERE, RECIPES
from killing.table import SOAK, read, soaked
from recipes.parts.files import replace_file
from recipes.running.folders import read_rows

LOOKS = 20  # at what a run takes, while it trains


class Looks(Callback):
    """Writes what the process takes, every so many steps, to looks.jsonl.

    Args:
        every: steps from one look to the next
    """

    def __init__(self, every: int) -> None:
        self.every = every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        if trainer.global_step % self.every:
            return
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        saved = list(Path().rglob("last.ckpt"))
        look = {
            "step": trainer.global_step,
            "memory": pages * os.sysconf("SC_PAGE_SIZE"),  # bytes
            "files": len(os.listdir("/proc/self/fd")),
            "seconds": time.process_time(),
            "checkpoint": saved[0].stat().st_size if saved else 0,  # bytes
        }
        with Path("looks.jsonl").open("a") as file:
            file.write(json.dumps(look) + "\n")


def train(recipe: str, steps: int, folder: Path) -> dict:
    """Trains a recipe in a process of its own; returns what was measured.

    Args:
        recipe: its name
        steps: at least so many, in whole epochs
        folder: that the run is in
    """
    epochs = math.ceil(steps / (20 if BATCH[recipe] == 14 else 21))
    flags = [f"--config={HERE / recipe}.yaml", "--name=a", f"--trainer.max_epochs={epochs}"]
    flags += ["--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false"]
    process = processes.Started(folder, {}, ours, recipe, ["fit", *flags], Looks(steps // LOOKS))
    process.process.join()
    if process.status:
        raise SystemExit(f"error: {recipe}: {(folder / 'output.txt').read_text()[-500:]}")
    rows = read_rows(folder / "runs" / recipe / "a/metrics.jsonl", is_live=False)
    losses = [row["train/loss"] for row in rows if "train/loss" in row]
    trained = [row["step"] for row in rows if "train/loss" in row]
    looks = [json.loads(line) for line in (folder / "looks.jsonl").read_text().splitlines()]
    return {
        "looks": looks,
        "steps": len(trained),
        "rows_are_exact": trained == list(range(len(trained)))
        and len(rows) - len(trained) == epochs,
        "losses_are_finite": all(map(math.isfinite, losses)),
    }


def main() -> None:
    """Trains what is missing, and prints the table."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--recipes", nargs="+", default=RECIPES, choices=RECIPES)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--anew", action="store_true", help="forget what is there")
    options = parser.parse_args()
    known = {} if options.anew else read(SOAK)
    processes.warm()
    for recipe in tqdm([name for name in options.recipes if name not in known], "recipes"):
        with tempfile.TemporaryDirectory() as folder:
            known[recipe] = train(recipe, options.steps, Path(folder))
        replace_file(SOAK, json.dumps(known, indent=0) + "\n")
    pages.write()
    print("\n".join(f"| {' | '.join(row)} |" for row in soaked(known)))


if __name__ == "__main__":
    main()
