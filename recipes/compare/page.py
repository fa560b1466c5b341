"""The comparison as one HTML page that needs no network: curves to zoom in, tables, pictures."""

import base64
import gzip
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from recipes.compare.groups import Group, band, mean_std
from recipes.compare.labels import shown
from recipes.compare.paired import Difference
from recipes.compare.picture import DRAWN, X_LABELS, axis_of
from recipes.compare.runs import AXES
from recipes.parts.files import replace_file
from recipes.parts.keys import in_words, more_is_better

# https://github.com/plotly/plotly.js, MIT: version 4.1.1's bundle of lines and points, a quarter of
# the whole; plotly-basic.min.js of the npm package plotly.js-basic-dist-min.
PLOTLY = Path(__file__).with_name("plotly-basic.min.js.gz")
COLORS = "#1F77B4 #FF7F0E #2CA02C #D62728 #9467BD #8C564B #E377C2 #7F7F7F #BCBD22 #17BECF".split()
LEGEND = 4  # groups; a longer legend leaves the plot no room
DIGITS = 5  # significant ones of a point that is drawn; the files of the runs have all
FACTS = ("commit", "dirty", "config_hash", "parameters.trained", "versions.torch")
FACTS += ("versions.lightning", "hardware.platform", "hardware.cpu", "hardware.gpus")


def write_page(
    varying: Sequence[str],
    groups: Sequence[Group],
    metric: str,
    path: Path,
    beside: Sequence[Difference] | None = None,
) -> None:
    """Writes the page.

    Args:
        varying: keys of the settings that vary
        groups: the best first
        metric: log key that they are compared by
        path: of the HTML file
        beside: the difference of each group to the baseline, if there is one
    """
    loader = jinja2.PackageLoader("recipes.compare", "")
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("page.html")
    logged = {key for group in groups for run in group.runs for key in run.curves}
    rates = sorted(key for key in logged if key.startswith("lr/"))
    others = sorted(key for key in logged if key.startswith("val/") and key != metric)
    others += [key for key in ("train/loss",) if key in logged and key != metric]
    main = [metric] if metric in logged else []
    pool = Pool()
    page = template.render(
        metric=metric,
        better="higher" if more_is_better(metric) else "lower",
        drawn=min(DRAWN, len(groups)),
        count=len(groups),
        runs=sum(len(group.runs) for group in groups),
        plotly=gzip.decompress(PLOTLY.read_bytes()).decode(),
        plots=[plot(groups, key, pool) for key in (*main, *others, *rates)],
        final=final(groups, metric),
        arrays=pool.arrays,
        legend=len(groups) <= LEGEND,  # of more, the plot beside it has the names
        main=main,
        others=others,
        rates=rates,
        varying=varying,
        rows=list(rows(varying, groups, metric, beside)),
        facts=list(facts(groups)),
        pictures=list(pictures(groups)),
    )
    replace_file(path, page)


class Pool:
    """Arrays of a page, each of which it holds once: many curves have the same points."""

    def __init__(self) -> None:
        self.arrays: list[list[float | None]] = []
        self.places: dict[tuple[float | None, ...], int] = {}

    def add(self, values: Iterable[float]) -> int:
        """The place of an array among all; what is not finite, or not drawn, is None."""
        found = tuple(short(float(value)) for value in values)
        if found not in self.places:
            self.places[found] = len(self.arrays)
            self.arrays.append(list(found))
        return self.places[found]


def short(value: float) -> float | None:
    """A number with few digits, a whole one as an integer, and None if it is not finite."""
    if not np.isfinite(value):
        return None
    rounded = value if value.is_integer() else float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded


def plot(groups: Sequence[Group], metric: str, pool: Pool) -> dict[str, Any]:
    """A metric over time, mean ± std of each group that is drawn, for the page's script.

    Args:
        groups: the best first
        metric: log key
        pool: takes the curves' points; `along` has their places: x, mean and deviation by axis
    """
    curves, known = [], set()
    for group, color in zip(groups[:DRAWN], colors(groups), strict=True):
        along = {}
        for axis in AXES:
            x, mean, std = band(group, metric, axis)
            has_band = len(group.runs) > 1
            along[axis] = [pool.add(x), pool.add(mean), pool.add(std) if has_band else None]
            known |= {axis} if len(x) else set()
        curves.append({"name": group.label, "color": color, "along": along})
    axes = [{"name": axis, "label": X_LABELS[axis]} for axis in AXES if axis in known]
    first = axis_of(metric) if axis_of(metric) in known else next(iter(known), "step")
    label = in_words(metric)
    return {"metric": metric, "label": label, "axes": axes, "first": first, "curves": curves}


def final(groups: Sequence[Group], metric: str) -> list[dict[str, Any]]:
    """The last value of each run, a row a group, and their mean."""
    found = []
    for group, color in zip(groups[:DRAWN], colors(groups), strict=True):
        values = [(run.name, run.last(metric)) for run in group.counted]
        known = [(name, value) for name, value in values if value is not None]
        found.append(
            {
                "name": group.label,
                "color": color,
                "runs": [name for name, _ in known],
                "values": [value if np.isfinite(value) else None for _, value in known],
                "mean": short(float(np.mean([value for _, value in known]))),
            }
        )
    return found


def colors(groups: Sequence[Group]) -> list[str]:
    """The color of each group that is drawn."""
    return COLORS[: min(DRAWN, len(groups))]


def rows(
    varying: Sequence[str],
    groups: Sequence[Group],
    metric: str,
    beside: Sequence[Difference] | None = None,
) -> Iterable[dict[str, Any]]:
    """The table's rows."""
    told = zip_longest(groups, colors(groups), map(str, beside or ()), fillvalue="")
    for group, color, difference in told:
        yield {
            "color": color or "transparent",
            "label": group.label,
            "settings": [shown(key, group.settings.get(key)) for key in varying],
            "last": mean_std(group.values(lambda run: run.last(metric))),
            "difference": difference,
            "best": mean_std(group.values(lambda run: run.best(metric))),
            "count": group.count,
            "seconds": mean_std(group.values(lambda run: run.facts.get("seconds")), 3),
            "names": ", ".join(run.name for run in group.runs),
            "command": group.runs[0].facts.get("command", ""),
        }


def facts(groups: Sequence[Group]) -> Iterable[tuple[str, list[str]]]:
    """Where the numbers come from: each fact with its values over all runs."""
    for fact in FACTS:
        values = {shown_fact(run.facts.get(fact)) for group in groups for run in group.runs}
        yield fact, sorted(values)


def shown_fact(value: Any) -> str:  # noqa: ANN401 - plain values
    """A fact as text, none as nothing."""
    return "" if value in (None, []) else str(value)


def pictures(groups: Sequence[Group]) -> Iterable[tuple[str, str]]:
    """What the first run of each group has drawn: a caption, and the PNG as a data URL."""
    for group in groups[:DRAWN]:
        run = next((run for run in group.runs if run.pictures), None)
        for name, content in run.pictures.items() if run else ():
            url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
            yield f"{group.label}: {run.name}, {name}", url
