"""Draws attributions: bars and a summary of tables, heat maps of pictures, coloured words."""

import html
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from recipes.explain.explainer import Row
from recipes.explain.permutation import Importance
from recipes.parts.files import replace_file, replacing

MOST = 10  # columns of one chart
RISE, FALL = "#D55E00", "#0072B2"  # what adds to a prediction, and what takes away from it
MAP = "RdBu_r"
LONGEST, LINE = 32, 46  # letters of a column's name, and of a line below or above a chart


def save(figure: Figure, path: Path) -> None:
    """Writes a picture."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


def short(name: str) -> str:
    """A name without its middle, where it would take the place of the chart."""
    half = LONGEST // 2 - 1
    return name if len(name) <= LONGEST else f"{name[:half]}...{name[-half:]}"


def lines(text: str) -> str:
    """A label in lines as wide as a chart."""
    return textwrap.fill(text, LINE)


def bars(rows: Sequence[Row], methods: Sequence[str], path: Path) -> None:
    """What each column adds to the predictions of some rows: a row of the picture each.

    Args:
        rows: to draw
        methods: to draw, a column of the picture each
        path: of the file
    """
    count = min(MOST, len(rows[0].subject.features))
    size = (5.8 * len(methods), (0.28 * count + 1.2) * len(rows))
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    panels = figure.subplots(len(rows), len(methods), squeeze=False)
    for row, line in zip(rows, panels, strict=True):
        for method, axes in zip(methods, line, strict=True):
            one_bar_chart(axes, row, method, count)
    save(figure, path)


def one_bar_chart(axes: Axes, row: Row, method: str, count: int) -> None:
    """The columns that add most, the largest first."""
    found = row.attributions[method]
    order = found.values.abs().argsort(descending=True)[:count].flip(0)
    values = found.values[order].tolist()
    cells = [(row.subject.features[i], str(row.subject.values[i])) for i in order.tolist()]
    names = [f"{short(name)} = {short(value)}" for name, value in cells]
    axes.barh(
        range(count),
        values,
        tick_label=names,
        color=[RISE if value > 0 else FALL for value in values],
    )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    base = "" if found.reference is None else f", without any column {found.reference:.4g}"
    axes.set_title(lines(f"row {row.name}: {said(row)}{base}"), fontsize=9, loc="left")
    axes.set_xlabel(lines(f"added to {row.explained.name} ({method})"), fontsize=8)


def said(row: Row) -> str:
    """What is explained, and its value."""
    kind = "" if row.explained.place is None else "probability of class "
    return f"{kind}{row.explained.name} = {row.output:.4g}"


def summary(rows: Sequence[Row], methods: Sequence[str], path: Path) -> None:
    """A beeswarm: each row's attribution by column, coloured by what it has there.

    Columns are in the order of their mean absolute attribution.

    Args:
        rows: all that were explained
        methods: a panel each
        path: of the file
    """
    features = rows[0].subject.features
    count = min(2 * MOST, len(features))
    size = (5.8 * len(methods), 0.32 * count + 1.4)
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    for method, axes in zip(
        methods, figure.subplots(1, len(methods), squeeze=False)[0], strict=True
    ):
        values = torch.stack([row.attributions[method].values for row in rows])
        order = values.abs().mean(0).argsort(descending=True)[:count].tolist()
        for place, feature in enumerate(reversed(order)):
            cells = [row.subject.values[feature] for row in rows]
            swarm(axes, values[:, feature].numpy(), cells, place)
        axes.set_yticks(range(count), [short(features[feature]) for feature in reversed(order)])
        axes.tick_params(labelsize=8)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        label = f"added to {what(rows)} ({method}); red: large values, blue: small"
        axes.set_xlabel(lines(label), fontsize=8)
    save(figure, path)


def what(rows: Sequence[Row]) -> str:
    """What is explained of all rows."""
    names = {row.explained.name for row in rows}
    return names.pop() if len(names) == 1 else "the predicted class's probability"


def swarm(axes: Axes, values: np.ndarray, cells: Sequence[str], place: int) -> None:
    """A line of points that do not hide each other, at a height."""
    span = np.ptp(values) or 1.0
    bins = np.round((values - values.min()) / span * 40).astype(int)
    heights = np.zeros(len(values))
    for number in np.unique(bins):
        members = np.flatnonzero(bins == number)
        offsets = (np.arange(len(members)) + 1) // 2 * np.where(np.arange(len(members)) % 2, 1, -1)
        heights[members] = offsets / max(6, len(members)) * 0.7
    axes.scatter(values, place + heights, c=ranks(cells), cmap="coolwarm", s=9, vmin=0, vmax=1)


def ranks(cells: Sequence[str]) -> np.ndarray:
    """Of numbers their rank, from 0 to 1; of anything else one half."""
    try:
        numbers = np.array([float(cell) for cell in cells])
    except ValueError:
        return np.full(len(cells), 0.5)
    _, order = np.unique(numbers, return_inverse=True)
    return order / max(1, order.max())


def heat_maps(rows: Sequence[Row], methods: Sequence[str], path: Path) -> None:
    """Pictures, and beside each what its pixels or patches add, over it, with a key of colours.

    Args:
        rows: a row of the picture each
        methods: a column each, behind the picture itself
        path: of the file
    """
    size = (1.9 * (len(methods) + 1), 2.1 * len(rows))
    figure = Figure(figsize=size, layout="constrained", dpi=110)
    panels = figure.subplots(len(rows), len(methods) + 1, squeeze=False)
    for row, line in zip(rows, panels, strict=True):
        image = row.subject.point.float()
        grey = image.mean(0).numpy()
        line[0].imshow(grey if len(image) != 3 else colours(image), cmap="gray")
        line[0].set_title(f"{row.name}: {row.explained.name} {row.output:.2f}", fontsize=8)
        for method, axes in zip(methods, line[1:], strict=True):
            values = heat(row, method)
            most = max(float(np.abs(values).max()), 1e-12)
            axes.imshow(grey, cmap="gray", alpha=0.35)
            strength = np.clip(np.abs(values) / most, 0.15, 0.9)
            axes.imshow(values, cmap=MAP, vmin=-most, vmax=most, alpha=strength)
            axes.set_title(method.replace("_", " "), fontsize=8)
        for axes in line:
            axes.set_axis_off()
    shades = ScalarMappable(Normalize(-1, 1), MAP)
    key = figure.colorbar(shades, ax=panels, location="bottom", shrink=0.8, aspect=30)
    key.set_ticks([-1, 0, 1], labels=["takes away", "nothing", "adds"], fontsize=8)
    key.set_label(lines(f"{what(rows)}, in shares of each map's largest value"), fontsize=8)
    save(figure, path)


def colours(image: torch.Tensor) -> np.ndarray:
    """(height, width, 3) from 0 to 1, whatever it was scaled to."""
    low, high = image.min(), image.max()
    return ((image - low) / (high - low).clamp_min(1e-12)).permute(1, 2, 0).numpy()


def heat(row: Row, method: str) -> np.ndarray:
    """What each pixel adds, (height, width): its own, or its patch's share."""
    found = row.attributions[method]
    if found.map is not None:
        return found.map.sum(0).double().numpy()
    owner = row.subject.owner[0]
    return (found.values / owner.flatten().bincount())[owner].numpy()


def importance(found: Importance, path: Path) -> None:
    """By how much predictions are worse when a column is permuted: means and deviations."""
    order = found.losses.mean(1).argsort()[-2 * MOST :]
    figure = Figure(figsize=(6, 0.3 * len(order) + 1.2), layout="constrained", dpi=110)
    axes = figure.subplots()
    means, stds = found.losses.mean(1)[order], found.losses.std(1)[order]
    names = [short(found.columns[i]) for i in order]
    axes.barh(range(len(order)), means, xerr=stds, tick_label=names, color=FALL)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    lost = f"gain of RMSE ({found.target})" if found.measure == "rmse" else "loss of accuracy"
    label = f"{lost} when a column is permuted; as it is: {found.score:.4g}"
    axes.set_xlabel(lines(label), fontsize=8)
    save(figure, path)


def coloured_words(rows: Sequence[Row], methods: Sequence[str], path: Path) -> None:
    """Writes texts whose words are coloured by what they add, as a page that needs nothing else."""
    parts = [PAGE.format(rise=RISE, fall=FALL)]
    for row in rows:
        parts.append(f"<h2>{html.escape(row.name)}: {html.escape(said(row))}</h2>")
        for method in methods:
            values = row.attributions[method].values
            most = max(values.abs().max().item(), 1e-12)
            spans = [
                word(text, value, most)
                for text, value in zip(row.subject.features, values.tolist(), strict=True)
            ]
            parts.append(f"<p><b>{html.escape(method)}</b> {' '.join(spans)}</p>")
    replace_file(path, "\n".join([*parts, "</body></html>\n"]))


def word(text: str, value: float, most: float) -> str:
    """A word over its colour, which is the stronger the more it adds or takes away."""
    red, green, blue = (int((RISE if value > 0 else FALL)[i : i + 2], 16) for i in (1, 3, 5))
    colour = f"rgba({red},{green},{blue},{0.85 * abs(value) / most:.2f})"
    title = f"{value:+.4f}"
    return f'<span style="background:{colour}" title="{title}">{html.escape(text)}</span>'


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>What each word adds</title>
<style>
body {{font: 16px/1.7 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em}}
h2 {{font-size: 1em; margin: 1.6em 0 0}} p {{margin: .3em 0}} b {{font-weight: 400; color: #666}}
span {{padding: .1em .2em; border-radius: .2em}}
</style></head><body>
<p>A word <span style="background:{rise}">adds</span> to the probability of the class, or
<span style="background:{fall}">takes away</span> from it; point at it for the number.</p>"""
