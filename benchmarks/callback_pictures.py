"""Draws what LRDecay and OptimizerStats do, from the files of runs, for callbacks/README.md.

python benchmarks/callback_pictures.py

Trains the digits teacher (recipes/classify/digits.yaml) for 20 epochs with each schedule, and for
60 with OptimizerStats; what is there already is not run again. Two minutes on a CPU core.
"""

import json
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tables import finished

PICTURE = Path(__file__).parent / "pictures" / "callbacks.png"
SCHEDULES = {
    "constant": ["warmup=10%"],
    "linear": ["warmup=10%"],
    "cosine": ["warmup=10%", "final=0.1"],
    "polynomial": ["warmup=10%", "power=3"],
    "exponential": ["warmup=10%", "gamma=0.5", "every=15%"],
    "step": ["every=25%", "gamma=0.5"],
    "multistep": ["milestones=[50%,80%]", "gamma=0.3"],
    "inverse_sqrt": ["warmup=10%"],
    "one_cycle": [],
    "wsd": ["warmup=10%", "decay=30%", "power=0.5"],
}
BLUE, ORANGE, GREY = "#2f6db5", "#d9822b", "#8a8f98"


def rows(folder: Path, key: str) -> tuple[list[int], list[dict[str, float]]]:
    """Steps and rows of a run's metrics file that have a key."""
    found = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    found = [row for row in found if key in row]
    return [row["step"] for row in found], found


def draw_schedule(axes: Axes, schedule: str, options: list[str]) -> None:
    """One schedule's rates over a run, as the optimizer had them."""
    flags = ["--trainer.max_epochs=20", "--trainer.log_every_n_steps=1"]
    flags += ["--trainer.callbacks+=LRDecay", f"--trainer.callbacks.schedule={schedule}"]
    flags += [f"--trainer.callbacks.{option}" for option in options]
    folder = finished("classify", "digits", f"schedule-{schedule}", *flags, test=False)
    steps, found = rows(folder, "lr/Adam")
    axes.plot(steps, [row["lr/Adam"] for row in found], color=BLUE, linewidth=1.8)
    axes.set_title(schedule, fontsize=9, loc="left")
    axes.set_ylim(0, 0.0108)
    axes.set_yticks([0, 0.005, 0.01])


def draw_statistics(panels: list[Axes]) -> None:
    """What Adam did in one run."""
    flags = ["--trainer.callbacks+=OptimizerStats", "--trainer.callbacks.every=8"]
    folder = finished("classify", "digits", "statistics", *flags, test=False)
    steps, found = rows(folder, "optimizer/Adam/update_ratio")
    steps, found = steps[:-1], found[:-1]  # the last batch's rate is 0, and all axes logarithmic

    def values(stat: str) -> list[float]:
        return [row[f"optimizer/Adam/{stat}"] for row in found]

    def quantiles(axes: Axes, stat: str) -> None:
        low, high = values(f"{stat}_q05"), values(f"{stat}_q95")
        axes.fill_between(steps, low, high, color=BLUE, alpha=0.2, label="5 to 95 %")
        axes.plot(steps, values(f"{stat}_q50"), color=BLUE, label="median")
        axes.set_yscale("log")
        axes.legend(fontsize=7)

    norms, ratio, effective, second, moments = panels
    norms.plot(steps, values("parameter_norm"), color=BLUE, label="parameters")
    norms.plot(steps, values("gradient_norm"), color=ORANGE, label="gradient")
    norms.set_yscale("log")
    norms.legend(fontsize=7)
    ratio.plot(steps, values("update_ratio"), color=BLUE)
    ratio.set_yscale("log")
    quantiles(effective, "effective_step")
    quantiles(second, "second_moment")
    moments.plot(steps, values("momentum_cosine"), color=BLUE, label="cosine(m, g)")
    moments.plot(steps, values("bias_correction1"), color=GREY, label="1 - beta1^t")
    moments.plot(steps, values("bias_correction2"), color=ORANGE, label="1 - beta2^t")
    moments.set_ylim(-0.3, 1.8)
    moments.legend(fontsize=7, loc="upper right")
    names = ["norms", "update / parameters", "effective step", "second moment", "moments"]
    for axes, name in zip(panels, names, strict=True):
        axes.set_title(name, fontsize=9, loc="left")


def main() -> None:
    """Trains what is missing and writes the picture."""
    figure = Figure(figsize=(12, 7), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1.6, 1])
    above.suptitle("LRDecay: learning rate of Adam over batches", fontsize=10, weight="bold")
    below.suptitle("OptimizerStats: one run of Adam, over batches", fontsize=10, weight="bold")
    panels = above.subplots(2, 5, sharex=True, sharey=True).flatten()
    for axes, (schedule, options) in zip(panels, SCHEDULES.items(), strict=True):
        draw_schedule(axes, schedule, options)
    statistics = list(below.subplots(1, 5))
    draw_statistics(statistics)
    for axes in [*panels, *statistics]:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    print(PICTURE)


if __name__ == "__main__":
    main()
