"""Draws a study: learning curves at each optimizer's best rate, and the sensitivity to it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from recipes.parts.files import replacing
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
    # NLL may be negative.
    scale = "linear" if metric == "nll" else "log"
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(2, 2, sharey=True).flat
    for number, (optimizer, choices) in enumerate(chosen.items()):
        style = {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "--"}
        draw_curves(axes, records, choices, name, {**style, "label": optimizer})
        draw_sensitivity(axes[3], records, optimizer, name, style)
    labels = ("epochs", "evaluations", "seconds, a member's share", "learning rate")
    for axis, label in zip(axes, labels, strict=True):
        axis.set(xlabel=label, yscale=scale, xscale="log")
        axis.yaxis.set_major_formatter("{x:.3g}")
        axis.yaxis.set_minor_formatter("{x:.3g}")
        axis.grid(alpha=0.3)
        if target is not None:
            axis.axhline(target, color="black", linestyle=":", linewidth=1)
    axes[0].set(xscale="linear", ylabel=name)
    axes[2].set(ylabel=name)
    axes[0].legend(fontsize="small")
    axes[0].set_title("the chosen rate, mean over seeds and splits", fontsize="medium")
    axes[3].set_title("at the end, mean and range over all of that rate", fontsize="medium")
    limit_to_finite(axes, records, chosen, name)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110, format="png")


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
    values = values[values.isfinite()].sort().values
    if len(values):
        low, high = float(values[0]), float(values[int(0.98 * (len(values) - 1))])
        margin = 0.05 * (high - low) or 0.1 * abs(high)
        bottom = max(low - margin, 0.9 * low) if low > 0 else low - margin
        axes[0].set_ylim(bottom, high + margin)
