"""The comparison as one HTML page that needs no network: curves to zoom in, tables, pictures."""

import base64
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from plotly.colors import qualitative
from plotly.offline import get_plotlyjs

from recipes.compare.groups import Group, band, mean_std, shown
from recipes.compare.picture import DRAWN, X_LABELS, axis_of
from recipes.compare.runs import AXES
from recipes.parts.files import replace_file
from recipes.parts.keys import in_words, more_is_better

COLORS = qualitative.D3
LEGEND = 4  # groups; a longer legend leaves the plot no room
SCALES = {  # buttons above a plot on its left; on "linear" all is shown from the start on
    "type": "buttons",
    "buttons": [
        {"label": kind, "method": "relayout", "args": [{"yaxis.type": kind}]}
        for kind in ("linear", "log")
    ],
    **{"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "direction": "right"},
}
FACTS = ("commit", "dirty", "config_hash", "parameters.trained", "versions.torch")
FACTS += ("versions.lightning", "hardware.platform", "hardware.cpu", "hardware.gpus")


def write_page(varying: Sequence[str], groups: Sequence[Group], metric: str, path: Path) -> None:
    """Writes the page.

    Args:
        varying: keys of the settings that vary
        groups: the best first
        metric: log key that they are compared by
        path: of the HTML file
    """
    loader = jinja2.PackageLoader("recipes.compare", "")
    template = jinja2.Environment(loader=loader, autoescape=True).get_template("page.html")
    logged = {key for group in groups for run in group.runs for key in run.curves}
    rates = sorted(key for key in logged if key.startswith("lr/"))
    others = sorted(key for key in logged if key.startswith("val/") and key != metric)
    others += [key for key in ("train/loss",) if key in logged and key != metric]
    main = [figure(final(groups, metric), "final", 480)]
    if metric in logged:
        few = len(groups) <= LEGEND  # of more, the plot beside it has the names
        main.insert(0, figure(lines(groups, metric, legend=few), "main", 480))
    page = template.render(
        metric=metric,
        better="higher" if more_is_better(metric) else "lower",
        drawn=min(DRAWN, len(groups)),
        count=len(groups),
        runs=sum(len(group.runs) for group in groups),
        plotly=get_plotlyjs(),
        main=main,
        others=[figure(lines(groups, key), f"other-{i}") for i, key in enumerate(others)],
        rates=[figure(lines(groups, key), f"rate-{i}") for i, key in enumerate(rates)],
        varying=varying,
        rows=list(rows(varying, groups, metric)),
        facts=list(facts(groups)),
        pictures=list(pictures(groups)),
    )
    replace_file(path, page)


def figure(content: go.Figure, name: str, height: int = 360) -> str:
    """A plot as HTML that the page's one copy of plotly draws."""
    content.update_layout(
        height=height, template="plotly_white", margin={"l": 60, "r": 20, "t": 70, "b": 50}
    )
    config = {"responsive": True, "displaylogo": False, "displayModeBar": "hover"}
    return content.to_html(full_html=False, include_plotlyjs=False, div_id=name, config=config)


def lines(groups: Sequence[Group], metric: str, legend: bool = False) -> go.Figure:
    """A metric over time, mean ± std; buttons choose epochs, batches or samples, and the scale."""
    content, along = go.Figure(), {axis: [] for axis in AXES}
    for group, color in zip(groups[:DRAWN], colors(groups), strict=True):
        bands = {axis: band(group, metric, axis) for axis in AXES}
        x, mean, std = bands[axis_of(metric)]
        one = {"name": group.label, "legendgroup": group.label}
        mode = "markers" if len(x) == 1 else "lines"
        content.add_scatter(x=x, y=mean, marker={"color": color}, mode=mode, **one)
        area = {"fill": "toself", "fillcolor": color, "opacity": 0.2, "line": {"width": 0}}
        hidden = {"mode": "lines", "showlegend": False, "hoverinfo": "skip"}
        there_and_back = [*(mean + std), *(mean - std)[::-1]]
        content.add_scatter(x=[*x, *x[::-1]], y=there_and_back, **one, **area, **hidden)
        for axis, (x, _, _) in bands.items():
            along[axis] += [x, [*x, *x[::-1]]]
    content.update_layout(
        title=metric,
        xaxis_title=X_LABELS[axis_of(metric)],
        yaxis_title=in_words(metric),
        showlegend=legend,
        legend={"orientation": "h", "yanchor": "top", "y": -0.15},
        updatemenus=[buttons(along, axis_of(metric)), SCALES],
    )
    return content


def buttons(along: dict[str, list[Any]], active: str) -> dict[str, Any]:
    """Buttons above a plot on its right: what its curves are drawn over.

    Args:
        along: axis to the x of each of the plot's traces
        active: the axis at first
    """
    axes = [axis for axis, values in along.items() if any(len(x) for x in values)]
    listed = [
        {
            "label": X_LABELS[axis],
            "method": "update",
            "args": [{"x": along[axis]}, {"xaxis.title.text": X_LABELS[axis]}],
        }
        for axis in axes
    ]
    place = {"x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom", "direction": "right"}
    chosen = axes.index(active) if active in axes else 0
    return {"type": "buttons", "buttons": listed, "active": chosen, **place}


def final(groups: Sequence[Group], metric: str) -> go.Figure:
    """The last value of each run, a row a group."""
    content = go.Figure()
    for group, color in zip(groups[:DRAWN], colors(groups), strict=True):
        content.add_box(
            x=group.values(lambda run: run.last(metric)),
            name=group.label,
            boxpoints="all",
            pointpos=0,
            text=[run.name for run in group.counted],
            marker={"color": color},
        )
    content.update_layout(title=f"last {metric} of each run", showlegend=False)
    content.update_yaxes(autorange="reversed", automargin=True)
    return content


def colors(groups: Sequence[Group]) -> list[str]:
    """The color of each group that is drawn."""
    return COLORS[: min(DRAWN, len(groups))]


def rows(varying: Sequence[str], groups: Sequence[Group], metric: str) -> Iterable[dict[str, Any]]:
    """The table's rows."""
    for group, color in zip_longest(groups, colors(groups), fillvalue="transparent"):
        yield {
            "color": color,
            "label": group.label,
            "settings": [shown(key, group.settings.get(key)) for key in varying],
            "last": mean_std(group.values(lambda run: run.last(metric))),
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
