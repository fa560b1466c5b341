"""Pictures of curves: nothing is cut off, differences can be seen, names and colours told apart."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from recipes.parts.drawing import COLOURS, GAP, name_ends, show_all, style
from recipes.parts.keys import in_words

X = np.arange(1.0, 41)


@pytest.fixture
def axes():
    return Figure().subplots()


@pytest.mark.parametrize(
    ("y", "scale", "has_inset"),
    [
        (1 - 0.9 * np.exp(-X / 3), "linear", True),  # an accuracy that settles
        (np.linspace(0, 1, 40), "linear", False),  # all of it can be seen
        (100 * np.exp(-X) + 0.1, "log", False),  # a loss that falls by decades
        (100 * np.exp(-X) - 0.1, "linear", True),  # which has no logarithm at the end
        (np.full(40, 3.0), "linear", False),
    ],
)
def test_all_is_shown_from_the_start_on(axes, y, scale, has_inset):
    y = np.append(y, np.nan)
    x = np.append(X, 41)
    inset = show_all(axes, [(x, y)])
    low, high = axes.get_ylim()
    assert low < np.nanmin(y) and np.nanmax(y) < high
    assert axes.get_yscale() == scale and (inset is not None) == has_inset
    if inset:
        late = y[:-1][x[:-1] >= 20.5]
        low, high = inset.get_ylim()
        assert low < late.min() and late.max() < high < axes.get_ylim()[1]
        assert high - low < 3 * np.ptp(late)


def test_nothing_known_is_no_range(axes):
    assert show_all(axes, [([1.0], [np.nan]), ([], [])]) is None


@pytest.mark.parametrize("range_", [(0.04, 1.1), (20.0, 500.0), (0.9, 9.9)])
def test_labels_of_a_log_scale_do_not_overlap(range_):
    figure = Figure(figsize=(6, 3))
    axes, steps = figure.subplots(), np.arange(100.0)
    show_all(axes, [(steps, np.where(steps < 3, range_[1], range_[0]))])
    assert axes.get_yscale() == "log"
    figure.canvas.draw()
    labels = [label for label in axes.yaxis.get_ticklabels(which="both") if label.get_text()]
    ends = sorted((box.y0, box.y1) for box in (label.get_window_extent() for label in labels))
    assert len(ends) >= 2
    assert all(top <= bottom for (_, top), (bottom, _) in itertools.pairwise(ends))


def test_names_are_at_the_ends_and_do_not_lie_over_each_other(axes):
    axes.set(xlim=(0, 1), ylim=(0, 1))
    ends = {"a": 0.99, "b": 1.0, "c": 0.985, "d": 0.2}
    name_ends(axes, {name: (1.0, y, "black") for name, y in ends.items()})
    heights = {text.get_text(): text.xyann[1] for text in axes.texts}
    assert heights["d"] == pytest.approx(0.2)
    assert sorted(heights, key=heights.get) == ["d", "c", "a", "b"]
    near = sorted(heights[name] for name in "abc")
    assert np.diff(near) == pytest.approx([GAP, GAP]) and near[-1] <= 1.001


def test_styles_differ_also_for_those_who_see_no_colours_of_a_kind():
    assert len({tuple(style(number).items()) for number in range(20)}) == 20
    # Brettel, Vienot & Mollon 1997, as Machado et al. 2009 have it at full severity.
    deuteranopia = np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    )
    protanopia = np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    )
    for seen in (np.eye(3), deuteranopia, protanopia):
        colours = [seen @ np.array(to_rgb(colour)) for colour in COLOURS]
        distances = [
            np.linalg.norm(one - other) for i, one in enumerate(colours) for other in colours[:i]
        ]
        assert min(distances) > 0.15
    stock = [deuteranopia @ np.array(to_rgb(f"C{number}")) for number in range(7)]
    assert min(np.linalg.norm(a - b) for i, a in enumerate(stock) for b in stock[:i]) < 0.15, (
        "matplotlib's own are not"
    )


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("val/teacher_accuracy", "accuracy (share)"),
        ("val/rmse", "rmse (the target's unit)"),
        ("val/rmse/height", "rmse (the target's unit)"),
        ("val/high_quality", "high quality (share)"),
        ("val/precision_convnet", "precision (share)"),
        ("val/kid_pixels_floor", "kid pixels floor"),
        ("train/loss", "loss"),
    ],
)
def test_an_axis_has_the_unit(key, words):
    assert in_words(key) == words
