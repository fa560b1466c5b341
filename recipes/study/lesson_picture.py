"""Draws the lesson on optimizers: losses, paths on the loss surface, decays of the rate."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from datamodules.loading.joined import Rows
from recipes.parts.drawing import name_ends, style
from recipes.parts.files import replacing
from recipes.study.surface import Surface, Walk

COLUMNS = 4  # of paths
GREY = "0.75"
FLOOR = 1e-5  # share of the lowest loss; what is less above it is below the picture
FAR = 10  # times the start's loss; what is further up is above the picture
ABOVE = "loss above its lowest value\n(squared unit of y)"


def draw(
    path: Path,
    rows: Rows,
    surface: Surface,
    optimizers: Sequence[Walk],
    decays: Sequence[Walk],
    within: float,
    batches: int,
) -> None:
    """Draws the lesson.

    Args:
        path: of the PNG file
        rows: that the line is fitted to
        surface: the loss on them
        optimizers: a walk of each
        decays: walks of one optimizer, with each schedule; of fewer than two nothing is drawn
        within: share of the lowest loss at which a line is drawn
        batches: of an epoch
    """
    lines = math.ceil((1 + len(optimizers)) / COLUMNS)
    heights = [3.6, 0.6 + 2.1 * lines] + ([3.8] if len(decays) > 1 else [])
    figure = Figure(figsize=(14, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights)
    draw_losses(parts[0], surface, optimizers, within, batches)
    first, *others = parts[1].subplots(lines, COLUMNS, squeeze=False).flat
    draw_rows(first, rows, surface)
    draw_paths(others, surface, optimizers)
    parts[1].suptitle(
        "The path on the loss surface, a dot for each step: from zero (●) to least squares (★)",
        fontsize="medium",
    )
    if len(decays) > 1:
        draw_decays(parts[2], surface, decays, within)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110, format="png")


def draw_losses(
    figure: SubFigure, surface: Surface, walks: Sequence[Walk], within: float, batches: int
) -> None:
    """The loss over steps, as far as all took some, and over epochs, its mean in each."""
    axes = figure.subplots(1, 2, sharey=True)
    steps = min(len(walk.rates) for walk in walks)
    curves = [
        {walk.optimizer: (np.arange(steps + 1), mean_above(walk)[: steps + 1]) for walk in walks},
        {walk.optimizer: epoch_means(walk, batches) for walk in walks},
    ]
    for axis, drawn, label in zip(axes, curves, ("steps", "epochs"), strict=True):
        lowest = min(above[above > 0].min() for _, above in drawn.values())
        prepare(axis, surface, walks, within)
        axis.set_ylim(bottom=max(axis.get_ylim()[0], lowest / 2))
        ends = {}
        for number, (name, (x, above)) in enumerate(drawn.items()):
            axis.plot(x, above, linewidth=1.6, **style(number))
            ends[name] = (x[-1], max(above[-1], axis.get_ylim()[0]), style(number)["color"])
        axis.set(xlim=(0, max(x[-1] for x, _ in drawn.values())), xlabel=label)
        name_ends(axis, ends)
    axes[0].set_ylabel(ABOVE)
    axes[0].set_title("what a step brings", fontsize="small")
    axes[1].set_title("what a pass over the data brings: the mean in each epoch", fontsize="small")
    axes[0].annotate(
        f"{100 * within:g} % above", (0.2, within * surface.lowest), va="bottom", fontsize="small"
    )
    figure.suptitle(
        f"The loss from the first step on, mean over {walks[0].above.shape[1]} seeds; its lowest "
        f"value, of least squares, is {surface.lowest:.3g}",
        fontsize="medium",
    )


def mean_above(walk: Walk) -> np.ndarray:
    """The mean over seeds of the loss above its lowest value, (steps + 1,)."""
    return walk.above.mean(1).numpy()


def epoch_means(walk: Walk, batches: int) -> tuple[np.ndarray, np.ndarray]:
    """Epochs, and the mean over seeds of the loss above its lowest value in each."""
    epochs, means = walk.by_epoch(batches)
    return epochs.numpy(), means.mean(1).numpy()


def prepare(axes: Axes, surface: Surface, walks: Sequence[Walk], within: float) -> None:
    """A log scale from the floor to all that is finite, and a line at the target."""
    highest = FAR * highest_start(walks)  # else of one that diverges
    above = torch.cat([walk.above.flatten() for walk in walks])
    highest = float(above[above <= highest].max())
    axes.set(yscale="log", ylim=(FLOOR * surface.lowest, 1.5 * highest))
    axes.axhline(within * surface.lowest, color="black", linestyle=":", linewidth=1)
    axes.grid(alpha=0.3)


def draw_rows(axes: Axes, rows: Rows, surface: Surface) -> None:
    """The rows, and the line of least squares."""
    x, (weight, bias) = rows.inputs[:, 0].numpy(), surface.minimum.tolist()
    axes.plot(x, rows.targets.numpy(), ".", color=GREY)
    ends = np.array([x.min(), x.max()])
    axes.plot(ends, weight * ends + bias, color="black")
    axes.set_title(f"{len(x)} rows: y = {weight:.3g} x {bias:+.2g}", fontsize="small")
    axes.set(xlabel="x", ylabel="y")


def draw_paths(panels: Sequence[Axes], surface: Surface, walks: Sequence[Walk]) -> None:
    """The path of each walk's first seed on the contours of the loss, a panel each."""
    for axes in panels[len(walks) :]:
        axes.remove()
    ranges = limits(surface, walks)
    weight, bias = np.meshgrid(*(np.linspace(*ends, 200) for ends in ranges))
    above = surface.above(torch.from_numpy(np.stack([weight, bias], axis=-1))).numpy()
    levels = np.geomspace(above.max() / 1000, above.max(), 9)
    for number, (axes, walk) in enumerate(zip(panels, walks, strict=False)):
        color = style(number)["color"]
        axes.contour(weight, bias, above, levels=levels, colors=GREY, linewidths=0.7)
        axes.plot(*walk.weights[:, 0].T.numpy(), ".-", color=color, markersize=3, linewidth=0.9)
        axes.plot(*walk.weights[0, 0].tolist(), "o", color="black", markersize=5)
        axes.plot(*surface.minimum.tolist(), "*", color="black", markersize=9)
        per = "" if walk.batches == 1 else f", {walk.batches} batches a step"
        axes.set_title(f"{walk.optimizer}, rate {walk.rate:g}{per}", fontsize="small", color=color)
        axes.set(xlim=ranges[0], ylim=ranges[1], xlabel="weight", ylabel="bias")


def limits(surface: Surface, walks: Sequence[Walk]) -> list[list[float]]:
    """The lowest and the highest weight and bias of all paths, with a margin.

    Without those whose loss is far above the start's: of an optimizer that diverges.
    """
    points = torch.cat([walk.weights[:, 0] for walk in walks] + [surface.minimum.unsqueeze(0)])
    points = points[surface.above(points) <= FAR * highest_start(walks)]
    low, high = points.min(0).values, points.max(0).values
    margin = 0.1 * (high - low) + 0.05
    return torch.stack([low - margin, high + margin], dim=1).tolist()


def highest_start(walks: Sequence[Walk]) -> float:
    """The highest loss above its lowest value at the start."""
    return max(float(walk.above[0].max()) for walk in walks)


def draw_decays(figure: SubFigure, surface: Surface, walks: Sequence[Walk], within: float) -> None:
    """The learning rate over steps, and below it the loss, a column for each schedule."""
    axes = figure.subplots(2, len(walks), sharex=True, sharey="row", height_ratios=[2, 3])
    for number, (walk, (rate, loss)) in enumerate(zip(walks, axes.T, strict=True)):
        color = style(number)["color"]
        rate.plot(np.arange(len(walk.rates)), walk.rates, color=color)
        rate.set_title(walk.schedule, fontsize="small", color=color)
        loss.plot(mean_above(walks[0]), color=GREY, linewidth=0.7)
        loss.plot(mean_above(walk), color=color, linewidth=1)
        prepare(loss, surface, walks, within)
        loss.set(xlabel="steps", xlim=(0, len(walk.rates)))
        rate.grid(alpha=0.3)
    axes[0, 0].set(ylabel="learning rate", ylim=(0, None))
    axes[1, 0].set_ylabel(ABOVE)
    figure.suptitle(
        f"Decays of the learning rate of {walks[0].optimizer}, beside {walks[0].schedule} (grey)",
        fontsize="medium",
    )
