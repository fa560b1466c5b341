"""Short runs that tell whether a recipe still learns, and how far their seeds differ.

python tests/support/canaries.py [recipe ...]
"""

import contextlib
import io
import os
import statistics
import sys
import tempfile
from pathlib import Path

import torch
import yaml

from recipes.running.cli import main
from recipes.running.recipe import find_recipe
from trains import rows

FILE = Path(__file__).parent.parent / "canaries.yaml"
CANARIES = yaml.safe_load(FILE.read_text())
SEEDS, STDS = 10, 4


def fit(recipe, flags, seed=0):
    """Trains below the present folder; returns the run's."""
    flags = [f"--seed_everything={seed}", *(flag.format(seed=seed) for flag in flags)]
    before = set(Path("runs", recipe).glob("*"))
    quiet = ("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false")
    main(find_recipe(recipe).module, ["fit", *quiet, *flags])
    (folder,) = set(Path("runs", recipe).glob("*")) - before
    return folder


def latest(folder, metric):
    """The last value of a metric that a run has logged."""
    return next(row[metric] for row in reversed(rows(folder)) if metric in row)


def measure(recipe):
    """Mean and standard deviation of a canary's metric over seeds, and the band."""
    canary, found = CANARIES[recipe], []
    for seed in range(SEEDS):
        with contextlib.redirect_stdout(io.StringIO()):
            found.append(latest(fit(recipe, canary["flags"], seed), canary["metric"]))
    mean, std = statistics.fmean(found), statistics.stdev(found)
    band = {"mean": mean, "std": std, "low": mean - STDS * std, "high": mean + STDS * std}
    return {name: float(f"{value:.4g}") for name, value in band.items()}


def check_still(recipe, band):
    """Fails unless a run that cannot learn lands far outside of the band."""
    with contextlib.redirect_stdout(io.StringIO()):
        still = latest(fit(recipe, CANARIES[recipe]["still"]), CANARIES[recipe]["metric"])
    away = abs(still - band["mean"]) / (band["high"] - band["low"])
    if away < 2:
        sys.exit(
            f"error: {recipe}: a run that cannot learn lands at {still:.4g}, {away:.1f} widths of "
            f"the band {band['low']} to {band['high']} away; give flags of a longer run"
        )


def write(measured):
    """Puts the measured values below their canaries, and leaves all else in the file as it is."""
    lines, recipe = [], ""
    for line in FILE.read_text().splitlines():
        if not line.startswith((" ", "#")):
            recipe = line.partition(":")[0]
        name = line.strip().partition(":")[0]
        if recipe in measured and name in measured[recipe]:
            continue
        lines.append(line)
        if recipe in measured and name == "metric":
            lines += [f"  {key}: {value}" for key, value in measured[recipe].items()]
    FILE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    os.environ["WANDB_MODE"] = "disabled"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        for name in sys.argv[1:] or CANARIES:
            write({name: (band := measure(name))})
            check_still(name, band)
            print(name, CANARIES[name]["metric"], band, flush=True)
