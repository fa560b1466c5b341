"""Draws a study: learning curves at each optimizer's best rate, and the sensitivity to it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from recipes.parts.drawing import panels, rows_of, style
from recipes.parts.files import replacing
from recipes.parts.keys import in_words
from recipes.study.record import Record
from recipes.study.selection import Choice


# Rates that failed have values whose ticks overflow, outside of what is seen.
@np.errstate(over="ignore")
def draw(
    path: Path,
    records: Sequence[Record],
    chosen: Mapping[str, Sequence[Choice]],
    metric: str,
    target: float | None,
) -> None:
    """Draws the metric against epochs, evaluations, seconds and learning rates.

    Args:
        path: of the PNG file
        records: all rounds
        chosen: optimizer to its choices
        metric: that trials are compared by
        target: value of the metric to draw as a line, or None
    """
    name = records[-1].decides(metric)
    rows = 2.2 * max(rows_of(len(chosen)), 1.6)  # inches
    figure = Figure(figsize=(13, 4 + rows), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[4, rows])
    curves = list(above.subplots(1, 3, sharey=True))
    sensitivity = panels(below, len(chosen))
    for number, (optimizer, choices) in enumerate(chosen.items()):
        draw_curves(curves, records, choices, name, {**style(number), "label": optimizer})
        draw_sensitivity(sensitivity[number], records, optimizer, name, style(number))
        if len(set(sensitivity)) > 1:
            color = style(number)["color"]
            sensitivity[number].set_title(optimizer, fontsize="small", color=color)
    labels = ("epochs", "evaluations", "seconds, a member's share")
    for axis, label in zip(curves, labels, strict=True):
        prepare(axis, label, name, metric, target)
    for axis in set(sensitivity):
        prepare(axis, "learning rate", name, metric, target)
    for axis in curves[1:]:
        axis.yaxis.label.set_visible(False)
    curves[0].set(xscale="linear")
    curves[0].legend(fontsize="small")
    above.suptitle("the chosen rate, mean over seeds and splits", fontsize="medium")
    below.suptitle("at the end, mean and range over all of that rate", fontsize="medium")
    limit_to_finite((curves[0], sensitivity[0]), records, chosen, name)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110, format="png")


def prepare(axis: Axes, label: str, name: str, metric: str, target: float | None) -> None:
    """Scales, labels and the target's line of a panel.

    Args:
        axis: of the panel
        label: of what the metric is drawn against
        name: of the series
        metric: as in `draw`
        target: as in `draw`
    """
    # NLL may be negative.
    axis.set(xscale="log", yscale="linear" if metric == "nll" else "log")
    axis.set(xlabel=label, ylabel=in_words(name))
    axis.yaxis.set_major_formatter("{x:.3g}")
    axis.yaxis.set_minor_formatter("{x:.3g}")
    axis.grid(alpha=0.3)
    if target is not None:
        axis.axhline(target, color="black", linestyle=":", linewidth=1)


def series(record: Record, name: str, ids: Sequence[int]) -> Tensor:
    """A series of some members, (rows, ids)."""
    return torch.stack(record.series[name])[:, list(ids)]


def draw_curves(
    axes: Sequence[Axes],
    records: Sequence[Record],
    choices: Sequence[Choice],
    name: str,
    style: Mapping[str, object],
) -> None:
    """The metric of one optimizer's choices against epochs, evaluations and seconds."""
    record = records[choices[0].record]
    ids = [i for choice in choices if choice.record == choices[0].record for i in choice.ids]
    values = series(record, name, ids).nanmean(1)
    axes[0].plot(record.epochs, values, **style)
    for axis, against in ((axes[1], "evaluations"), (axes[2], "seconds")):
        axis.plot(series(record, against, ids).nanmean(1), values, **style)


def draw_sensitivity(
    axis: Axes, records: Sequence[Record], optimizer: str, name: str, style: Mapping[str, object]
) -> None:
    """The metric at the end against the learning rate, of members neither lost nor dropped."""
    found: dict[float, list[float]] = {}
    for record in records:
        scores = series(record, name, range(len(record.members)))[-1]
        for member, score, lost in zip(record.members, scores, record.lost, strict=True):
            if member.trial.optimizer == optimizer and score.isfinite() and not lost:
                found.setdefault(member.trial.learning_rate, []).append(float(score))
    rates = sorted(found)
    if rates:
        means = [sum(found[rate]) / len(found[rate]) for rate in rates]
        low, high = ([f(found[rate]) for rate in rates] for f in (min, max))
        axis.plot(rates, means, marker="o", markersize=3, **style)
        axis.fill_between(rates, low, high, alpha=0.15, color=style["color"])


def limit_to_finite(
    axes: Sequence[Axes],
    records: Sequence[Record],
    chosen: Mapping[str, Sequence[Choice]],
    name: str,
) -> None:
    """Sets the metric's range to that of the chosen curves, which rates that failed would hide."""
    values = torch.cat(
        [series(records[c.record], name, c.ids).flatten() for cs in chosen.values() for c in cs]
    )
    values = values[values.isfinite()]
    if len(values):
        low, high = float(values.min()), float(values.max())
        margin = 0.05 * (high - low) or 0.1 * abs(high)
        bottom = max(low - margin, 0.9 * low) if low > 0 else low - margin
        for axis in axes:
            axis.set_ylim(bottom, high + margin)
