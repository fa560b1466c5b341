"""What pictures of curves share: colours, a range from the start on, and names at the ends."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator, NullFormatter

# Okabe & Ito 2008, "Color Universal Design": colour-blind readers tell them apart. Without yellow,
# which is too light for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")
TOGETHER = 5  # bands in one panel; more lie over each other
COLUMNS = 3  # of panels, where there are more
HIDDEN = 0.15  # share of the range below which the second half's differences cannot be seen
DECADES = 10.0  # ratio of the largest to the smallest value from which a log scale shows more
GAP = 0.055  # between names, share of the axes' height
Curve = tuple[Sequence[float], Sequence[float]]  # x and y


def style(number: int) -> dict[str, str]:
    """The colour and dashes of a curve; the colours come again with other dashes."""
    turn, place = divmod(number, len(COLOURS))
    return {"color": COLOURS[place], "linestyle": DASHES[turn % len(DASHES)]}


def rows_of(count: int) -> int:
    """How many rows of panels so many bands take."""
    return math.ceil(count / COLUMNS) if count > TOGETHER else 1


def panels(figure: Figure | SubFigure, count: int) -> list[Axes]:
    """The axes of each of some bands: one for all, or of many a panel each, in rows.

    Args:
        figure: that they fill; of several panels the outer ones alone show labels
        count: of bands
    """
    if count <= TOGETHER:
        return [figure.subplots()] * count
    every = list(figure.subplots(rows_of(count), COLUMNS, sharex=True, sharey=True).flat)
    for axes in every[count:]:
        axes.remove()
    for number, axes in enumerate(every[:count]):
        is_lowest = number + COLUMNS >= count  # of its column
        axes.tick_params(labelbottom=is_lowest)
        axes.xaxis.label.set_visible(is_lowest)
        axes.yaxis.label.set_visible(number % COLUMNS == 0)
    return every[:count]


def show_all(axes: Axes, curves: Sequence[Curve]) -> Axes | None:
    """Shows all values, the first ones too, and the end's differences where these would hide them.

    On a log scale where the values reach from one to ten times of it; else, if the second half of
    training is in a narrow part of the range, an inset shows that.

    Args:
        axes: the curves are drawn in them
        curves: their points; what is not finite is left out

    Returns:
        the inset, empty, in which the same curves are to be drawn
    """
    points = [np.asarray(curve, float) for curve in curves if len(curve[0])]
    points = [curve[:, np.isfinite(curve[1])] for curve in points]
    points = [curve for curve in points if curve.size]
    if not points:
        return None
    low, high = (f(f(curve[1]) for curve in points) for f in (min, max))
    begin, end = min(curve[0].min() for curve in points), max(curve[0].max() for curve in points)
    late = np.concatenate([curve[1][curve[0] >= (begin + end) / 2] for curve in points])
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    axes.set_ylim(low - margin, high + margin)
    if len(late) < 2 or np.ptp(late) >= HIDDEN * (high - low):
        return None
    if low > 0 and high / low >= DECADES:
        axes.set(yscale="log", ylim=(low / 1.1, high * 1.1))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # far enough from each other
        axes.yaxis.set_major_formatter("{x:.3g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        return None
    is_rising = late.mean() > (low + high) / 2
    inset = axes.inset_axes((0.42, 0.12 if is_rising else 0.45, 0.54, 0.42))
    border = 0.1 * np.ptp(late) or margin / 10
    inset.set(xlim=((begin + end) / 2, end), ylim=(late.min() - border, late.max() + border))
    inset.tick_params(labelsize="x-small")
    inset.grid(alpha=0.3)
    return inset


def name_ends(axes: Axes, names: Mapping[str, tuple[float, float, str]]) -> None:
    """Writes names to the right of the axes, each at the height of its curve's end.

    Names whose ends lie close to each other are moved apart.

    Args:
        axes: their range is set
        names: of each curve, what to write, to its last x and y, and its colour
    """
    to_share = axes.transData + axes.transAxes.inverted()
    ends = {name: to_share.transform((x, y))[1] for name, (x, y, _) in names.items()}
    order = sorted(ends, key=ends.get)
    heights: dict[str, float] = {}
    for name in order:  # upwards, away from those below
        heights[name] = max(ends[name], max(heights.values(), default=-1) + GAP)
    highest = max([1 + GAP, *(height + GAP for height in ends.values())])
    for name in reversed(order):  # and down again from the top
        heights[name] = highest = min(heights[name], highest - GAP)
    for name, (x, y, colour) in names.items():
        axes.annotate(
            name,
            (x, y),
            xytext=(1.02, heights[name]),
            textcoords="axes fraction",
            color=colour,
            va="center",
            fontsize="small",
            annotation_clip=False,
        )
