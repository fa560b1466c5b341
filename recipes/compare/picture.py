"""The comparison as one picture: curves with bands over seeds, and the final values."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from recipes.compare.groups import Group, band, mean_std
from recipes.parts.drawing import Curve, panels, rows_of, show_all, style
from recipes.parts.files import replacing
from recipes.parts.keys import in_words, more_is_better
from recipes.running.printable import printable

DRAWN = 10  # groups; more cannot be told apart
X_LABELS = {"step": "batches", "epoch": "epochs", "samples": "samples"}
Band = tuple[np.ndarray, np.ndarray, np.ndarray]  # points, means and deviations


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
    bands = [band(group, metric, axis_of(metric)) for group in shown]
    height = max(2.4 * rows_of(len(shown)), 1.8 + 0.25 * max(len(shown), 10))
    figure = Figure(figsize=(13, height), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[3, 2])
    _curves(left, bands, [group.label for group in shown], metric)
    _final(right.subplots(), shown, metric)
    left.suptitle(f"{printable(metric)}, mean ± std over seeds", fontsize="medium")
    if len(groups) > DRAWN:
        right.suptitle(f"the best {DRAWN} of {len(groups)}", fontsize="medium")
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120, format="png")


def _curves(figure: SubFigure, bands: Sequence[Band], labels: Sequence[str], metric: str) -> None:
    """Bands in one panel, or of many a panel for each, in which the others are grey."""
    owners = panels(figure, len(bands))
    for axes in dict.fromkeys(owners):
        own = [owner is axes for owner in owners]
        inset = show_all(axes, edges(bands))
        if not all(own):
            number = own.index(True)
            color = style(number)["color"]
            axes.set_title(shorten(labels[number], 40), fontsize="x-small", color=color)
            if inset:
                inset.remove()
                inset = None
        for part in (axes, inset) if inset else (axes,):
            for index, found in enumerate(bands):
                _band(part, found, style(index) if own[index] else None)
        axes.set(xlabel=X_LABELS[axis_of(metric)], ylabel=in_words(metric))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(alpha=0.3)


def _band(axes: Axes, found: Band, looks: dict[str, str] | None) -> None:
    """A mean and its deviation, or without looks of its own a grey mean behind the others."""
    x, mean, std = found
    if looks is None:
        axes.plot(x, mean, color="0.8", linewidth=0.7, zorder=1)
    else:
        axes.plot(x, mean, marker="o" if len(x) == 1 else "", **looks)
        axes.fill_between(x, mean - std, mean + std, color=looks["color"], alpha=0.2, lw=0)


def edges(bands: Sequence[Band]) -> list[Curve]:
    """The lower and upper edges of bands.

    Where all means are above 0, a lower edge below it is the mean: a log scale may show more.
    """
    found = []
    positive = all(mean.min(initial=1.0) > 0 for _, mean, _ in bands)
    for x, mean, std in bands:
        low = mean - std
        found += [(x, np.where(low > 0, low, mean) if positive else low), (x, mean + std)]
    return found


def _final(axes: Axes, groups: Sequence[Group], metric: str) -> None:
    for index, group in enumerate(groups):
        values = group.values(lambda run: run.last(metric))
        axes.plot(values, [index] * len(values), "o", color=style(index)["color"], alpha=0.6)
        axes.plot([np.mean(values)], [index], "|", color="black", markersize=14)
    texts = [mean_std(group.values(lambda run: run.last(metric))) for group in groups]
    axes.set_yticks(
        range(len(groups)),
        [f"{group.label}\n{text}" for group, text in zip(groups, texts, strict=True)],
    )
    for index, label in enumerate(axes.get_yticklabels()):
        label.set_color(style(index)["color"])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    better = "higher" if more_is_better(metric) else "lower"
    axes.set(title=f"last values ({better} is better)", xlabel=in_words(metric))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(alpha=0.3, axis="x")
