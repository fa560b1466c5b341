"""Pictures of attributions: long names leave room for the chart."""

from types import SimpleNamespace

import torch
from matplotlib.figure import Figure

from recipes.explain.draw import LONGEST, one_bar_chart, short


def test_long_names_are_short_and_bars_of_like_ones_stay_apart():
    names = [f"{'distance_' * 8}{i}{'_in_kilometres' * 4}" for i in range(3)]
    assert len({short(name) for name in names}) == 1 and len(short(names[0])) <= LONGEST + 1
    assert short("area") == "area"
    row = SimpleNamespace(
        name="0",
        output=1.0,
        subject=SimpleNamespace(features=names, values=["1", "1", "1"]),
        explained=SimpleNamespace(name="price", place=None),
        attributions={"lime": SimpleNamespace(values=torch.tensor([1.0, -3, 2]), reference=0.5)},
    )
    figure = Figure(figsize=(5.8, 2), layout="constrained")
    axes = figure.subplots()
    one_bar_chart(axes, row, "lime", 3)
    figure.canvas.draw()
    assert [bar.get_width() for bar in axes.patches] == [1, 2, -3]
    assert len({bar.get_y() for bar in axes.patches}) == 3
    assert axes.bbox.width > 0.4 * figure.bbox.width
