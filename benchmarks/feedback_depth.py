"""Which depths feedback alignment and back-propagation train, from two starts of the weights.

python benchmarks/feedback_depth.py

The digits, 100 tanh units in each hidden layer, 40 epochs of RMSprop whose rate decays by a cosine.
Of each method, depth and start the rate with the fewest validation errors of seed 0; then seeds 1
and 2 there. It may be stopped and started again: feedback_depth.json keeps each run. Prints test
errors in %, mean and standard deviation of the seeds, and draws them.
"""

import argparse
import itertools
import json
import tempfile
from pathlib import Path

import torch
from lightning.pytorch import Trainer, seed_everything
from matplotlib.figure import Figure

from callbacks import KeyedNoise, LRDecay
from datamodules import Digits
from recipes.feedback import Feedback, FeedbackMLP
from recipes.parts.drawing import style
from recipes.parts.files import replace_file
from tables import mean_std

HERE = Path(__file__).parent
FILE, PICTURE = HERE / "feedback_depth.json", HERE / "pictures" / "feedback_depth.png"
METHODS = ("backpropagation", "alignment", "direct")
STARTS, DEPTHS = ("uniform", "zeros"), (1, 2, 5, 10, 20)
RATES, SEEDS, EPOCHS, WIDTH = (0.0003, 0.001, 0.003), (0, 1, 2), 40, 100
Cell = tuple[str, str, int]  # start, method, depth
CELLS = [*itertools.product(STARTS, METHODS, DEPTHS)]


def trained(cell: Cell, rate: float, seed: int) -> dict[str, float]:
    """Validation and test errors, of 360 images each, of one run; they are shares."""
    start, method, depth = cell
    seed_everything(seed, verbose=False)
    network = FeedbackMLP(64, [WIDTH] * depth, 10, method, "tanh", start)
    module = Feedback(network, optimizer=lambda p: torch.optim.RMSprop(p, lr=rate))
    data = Digits(seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            default_root_dir=folder,
            callbacks=[KeyedNoise(seed), LRDecay()],
            enable_model_summary=False,
            num_sanity_val_steps=0,
            check_val_every_n_epoch=EPOCHS,
            **quiet,
        )
        trainer.fit(module, data)
        val = 1 - trainer.callback_metrics["val/accuracy"].item()
        trainer.test(module, data, verbose=False)
    return {"val": val, "test": 1 - trainer.callback_metrics["test/accuracy"].item()}


def stored() -> dict[str, dict[str, float]]:
    """What is done: the errors of each run, by its name."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def name_of(cell: Cell, rate: float, seed: int) -> str:
    """Of a run, in the file."""
    start, method, depth = cell
    return f"{start} {method} {depth} rate {rate:g} seed {seed}"


def made(cell: Cell, rate: float, seed: int) -> dict[str, float]:
    """The errors of a run, which is made first if need be; they are kept at once."""
    name = name_of(cell, rate, seed)
    if name not in stored():
        every = stored() | {name: trained(cell, rate, seed)}
        replace_file(FILE, json.dumps(every, indent=1) + "\n")
    return stored()[name]


def rates(cell: Cell) -> tuple[float, ...]:
    """Those that are tried: back-propagation from zeros leaves zeros whatever the rate is."""
    return RATES[:1] if cell[:2] == ("zeros", "backpropagation") else RATES


def best_rate(cell: Cell) -> float:
    """That with the fewest validation errors of seed 0; of equal ones the lowest."""
    return min(rates(cell), key=lambda rate: stored()[name_of(cell, rate, 0)]["val"])


def errors(cell: Cell) -> list[float]:
    """Test errors of all seeds at the best rate, %; nothing if a run is missing."""
    if any(name_of(cell, rate, 0) not in stored() for rate in rates(cell)):
        return []
    names = [name_of(cell, best_rate(cell), seed) for seed in SEEDS]
    return [100 * stored()[name]["test"] for name in names if name in stored()]


def compared() -> list[list[str]]:
    """Test errors in %, mean ± std of seeds, a column for each depth."""
    rows = [["start", "method", *(f"{depth} hidden" for depth in DEPTHS)]]
    for start, method in itertools.product(STARTS, METHODS):
        found = [errors((start, method, depth)) for depth in DEPTHS]
        cells = [mean_std(each) if len(each) == len(SEEDS) else "" for each in found]
        rows.append([f"`{start}`", f"`{method}`", *cells])
    return rows


def draw(path: Path) -> None:
    """Test errors over depth, a panel for each start: means, and each seed."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, start in zip(figure.subplots(1, 2, sharey=True), STARTS, strict=True):
        for number, method in enumerate(METHODS):
            look, found = style(number), [errors((start, method, depth)) for depth in DEPTHS]
            means = [sum(each) / len(each) for each in found]
            axes.plot(DEPTHS, means, label=method, **look)
            for depth, each in zip(DEPTHS, found, strict=True):
                axes.plot([depth] * len(each), each, ".", color=look["color"])
        axes.set(xscale="log", yscale="log", xlabel="hidden layers", title=f"start: {start}")
        axes.set(xticks=DEPTHS, xticklabels=DEPTHS, yticks=(3, 10, 30, 90), ylim=(2, 100))
        axes.set(yticklabels=(3, 10, 30, 90))
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
        axes.axhline(90, color="#8a8f98", linewidth=0.8, linestyle=":")
    figure.axes[0].set(ylabel="test error, %")
    figure.axes[0].text(1, 80, "by chance", fontsize=8, va="top")
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Makes what is missing, prints the table, and draws."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    for cell in CELLS:
        for rate in rates(cell):
            made(cell, rate, SEEDS[0])
        for seed in SEEDS:
            made(cell, best_rate(cell), seed)
    for row in compared():
        print(f"| {' | '.join(row)} |")
    draw(PICTURE)


if __name__ == "__main__":
    main()
