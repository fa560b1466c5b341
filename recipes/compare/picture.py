"""The comparison as one picture: curves with bands over seeds, and the final values."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recipes.compare.groups import Group, band, mean_std
from recipes.parts.files import replacing
from recipes.parts.keys import more_is_better
from recipes.running.printable import printable

DRAWN = 10  # groups; more lines cannot be told apart


def axis_of(metric: str) -> str:
    """What a metric is drawn over: validation over epochs, the rest over batches."""
    return "epoch" if metric.startswith("val/") else "step"


def draw(groups: Sequence[Group], metric: str, path: Path) -> None:
    """Draws the best groups: mean ± std over time, and each run's last value.

    Args:
        groups: the best first
        metric: log key
        path: of the PNG file
    """
    with rc_context({"text.parse_math": False}):  # a name is no formula
        _draw(groups, metric, path)


def _draw(groups: Sequence[Group], metric: str, path: Path) -> None:
    shown = groups[:DRAWN]
    figure = Figure(figsize=(12, 1.8 + 0.25 * max(len(shown), 10)), layout="constrained")
    over_time, final = figure.subplots(1, 2, width_ratios=[3, 2])
    _curves(over_time, shown, metric)
    _final(final, shown, metric)
    if len(groups) > DRAWN:
        figure.suptitle(f"the best {DRAWN} of {len(groups)}", fontsize="medium")
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120, format="png")


def _curves(axes: Axes, groups: Sequence[Group], metric: str) -> None:
    bands = [band(group, metric, axis_of(metric)) for group in groups]
    for index, (x, mean, std) in enumerate(bands):
        axes.plot(x, mean, "o" if len(x) == 1 else "-", color=f"C{index}")
        axes.fill_between(x, mean - std, mean + std, color=f"C{index}", alpha=0.2, linewidth=0)
    if shown := late_range(bands):
        axes.set_ylim(*shown)
    label = {"step": "batches", "epoch": "epoch"}[axis_of(metric)]
    axes.set(xlabel=label, title=f"{printable(metric)}, mean ± std over seeds")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def late_range(
    bands: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[float, float] | None:
    """The range of bands after their first quarter, where runs differ by what matters.

    Args:
        bands: points, means and deviations of each

    Returns:
        low and high; None if there is no number
    """
    ends = [end[len(x) // 4 :] for x, mean, std in bands for end in (mean - std, mean + std)]
    late = [value for end in ends for value in end if np.isfinite(value)]
    if not late:
        return None
    margin = 0.05 * (max(late) - min(late)) or 0.01
    return min(late) - margin, max(late) + margin


def _final(axes: Axes, groups: Sequence[Group], metric: str) -> None:
    for index, group in enumerate(groups):
        values = group.values(lambda run: run.last(metric))
        axes.plot(values, [index] * len(values), "o", color=f"C{index}", alpha=0.6)
        axes.plot([np.mean(values)], [index], "|", color="black", markersize=14)
    texts = [mean_std(group.values(lambda run: run.last(metric))) for group in groups]
    axes.set_yticks(
        range(len(groups)),
        [f"{group.label}\n{text}" for group, text in zip(groups, texts, strict=True)],
    )
    for index, label in enumerate(axes.get_yticklabels()):
        label.set_color(f"C{index}")
    axes.set_ylim(len(groups) - 0.5, -0.5)
    better = "higher" if more_is_better(metric) else "lower"
    axes.set(title=f"last values ({better} is better)")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(alpha=0.3, axis="x")
