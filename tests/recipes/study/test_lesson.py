"""The lesson on optimizers: paths by closed forms, the table by its definition, the picture."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from matplotlib.figure import Figure
from torch import nn, optim

from callbacks import LRDecay
from callbacks.schedules import Schedule
from datamodules import Linear
from recipes.parts.networks import MLP, LinearModel
from recipes.regress import Regress
from recipes.study import Study
from recipes.study.lesson import Lesson
from recipes.study.members import Member, Trial
from recipes.study.search import Grid
from recipes.study.surface import Surface, steps_table, walks
from trains import interrupt_after

pytestmark = pytest.mark.usefixtures("undrawn")

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "precision": "64-true",
}
RATES = {"gradient descent": [0.1], "accumulated": [0.1], "SGD": [0.1], "Adam": [0.3]}
ACCUMULATE = {"gradient descent": 5, "accumulated": 2}
OPTIMIZERS = dict.fromkeys(RATES, optim.SGD) | {"Adam": optim.Adam}


def line(**options):
    shape = {"rows": 50, "features": 1, "weight": 2.0, "mean": 1.0, "noise": 0.5}
    return Linear(**shape | {"batch_size": 10, "val_size": 0.0, "test_size": 0.0} | options)


def study(optimizers=OPTIMIZERS, rates=RATES, **options):
    network = partial(LinearModel, 1)
    options = {"seeds": [0, 1], "metric": "loss", "accumulate": ACCUMULATE} | options
    return Study(network, optimizers, Grid(rates), **options)


def fitted(folder, epochs=20, made=None, **flags):
    """A study with the lesson, and the lesson."""
    made, lesson = made or study(), Lesson()
    flags = {**QUIET, "callbacks": [lesson], "default_root_dir": folder} | flags
    Trainer(max_epochs=epochs, **flags).fit(made, line())
    return made, lesson


def least_squares(data):
    rows = data.splits(0).train
    design = np.column_stack([rows.inputs.numpy(), np.ones(len(rows))])
    return design, rows.targets.numpy(), np.linalg.lstsq(design, rows.targets.numpy())[0]


def test_the_surface_is_the_mean_squared_error():
    design, targets, minimum = least_squares(line())
    surface = Surface.of(line().splits(0).train)
    np.testing.assert_allclose(surface.minimum, minimum, rtol=1e-10)
    points = np.random.default_rng(0).normal(size=(4, 3, 2))
    losses = ((points @ design.T - targets) ** 2).mean(-1)
    found = surface.lowest + surface.above(torch.from_numpy(points))
    np.testing.assert_allclose(found, losses, rtol=1e-10)


def test_gradient_descent_walks_as_its_closed_form_says(tmp_path):
    """w_t = p + (1 - 2 r H)^t (w_0 - p), which ends in least squares; the batches are 10 rows."""
    rates = {"gradient descent": [0.3]}
    made = study({"gradient descent": optim.SGD}, rates, accumulate={"gradient descent": 5})
    _, lesson = fitted(tmp_path, 60, made)
    design, _, minimum = least_squares(line())
    shrink = np.eye(2) - 2 * 0.3 * design.T @ design / len(design)
    path = torch.stack(lesson.points)[:, 0].numpy()
    assert len(path) == 1 + 60 * 5
    for step in range(61):
        expected = minimum - np.linalg.matrix_power(shrink, step) @ minimum
        np.testing.assert_allclose(path[5 * step], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(path[-1], minimum, atol=1e-4)
    assert (path[1:5] == path[0]).all() and (path[5] != path[4]).all(), "one step an epoch"


@pytest.mark.parametrize(("make", "batches"), [(optim.SGD, 2), (optim.Adam, 5), (optim.SGD, 1)])
def test_accumulated_gradients_are_those_of_lightning(make, batches, tmp_path):
    """A member whose steps take some batches, against the same trained alone with the Trainer's."""
    made = study({"one": make}, {"one": [0.05]}, accumulate={"one": batches}, seeds=[0])
    flags = {**QUIET, "default_root_dir": tmp_path, "max_epochs": 4, "gradient_clip_val": 0.5}
    data = partial(line, rows=100)  # 10 batches: Lightning also steps at an epoch's end
    Trainer(**flags).fit(made, data())
    alone = Regress(partial(LinearModel, 1), lambda p: make(p, lr=0.05))
    Trainer(**flags, accumulate_grad_batches=batches).fit(alone, data())
    expected = nn.utils.parameters_to_vector(alone.network.parameters()).detach()
    torch.testing.assert_close(made.population.weights_of([0])[0], expected, rtol=1e-9, atol=0)
    assert made.trainer.global_step == 40, "one batch is one step of the study"


def test_an_epoch_that_batches_do_not_divide_goes_on_in_the_next(tmp_path):
    made, lesson = fitted(tmp_path, epochs=4)  # 5 batches an epoch, 2 a step
    path = torch.stack(lesson.points)[:, made.population.ids.index(2)]
    moved = (path[1:] != path[:-1]).all(1)
    assert moved.tolist() == [False, True] * 10


def test_accumulation_of_what_cannot_is_refused():
    with pytest.raises(ValueError, match=r"--model.accumulate: there is no optimizer adam"):
        study(accumulate={"adam": 2})
    with pytest.raises(ValueError, match=r"--model.accumulate: L-BFGS evaluates"):
        study({"L-BFGS": optim.LBFGS}, {"L-BFGS": [1.0]}, accumulate={"L-BFGS": 2})


def test_the_table_is_what_one_counts(tmp_path):
    _, lesson = fitted(tmp_path, epochs=30)
    design, targets, minimum = least_squares(line())
    lowest = ((design @ minimum - targets) ** 2).mean()
    path = torch.stack(lesson.points).numpy()
    lines = [row.split(" | ") for row in (tmp_path / "lesson.md").read_text().splitlines()[2:]]
    assert [row[0].removeprefix("| ") for row in lines] == list(RATES)
    for number, row in enumerate(lines):
        per = ACCUMULATE.get(list(RATES)[number], 1)
        counts, late = [], []
        for seed in range(2):
            walk = path[::per, 2 * number + seed]
            losses = [((design @ point - targets) ** 2).mean() for point in walk]
            counts.append(next((t for t, loss in enumerate(losses) if loss <= 1.01 * lowest), None))
            inside = [loss for t, loss in enumerate(losses) if t * per > 29 * 5]
            late.append(100 * (np.mean(inside) / lowest - 1))
        assert int(row[2]) == per
        taken = [count for count in counts if count is not None]
        missed = f"{2 - len(taken)} of 2 never" if len(taken) < 2 else ""
        assert row[3].endswith(missed)
        if taken:
            assert float(row[3].split()[0]) == pytest.approx(np.mean(taken), rel=0.01)
            assert float(row[4].split()[0]) == pytest.approx(np.mean(taken) * per / 5, rel=0.01)
        assert float(row[-1].split()[0]) == pytest.approx(np.mean(late), rel=0.1)


def test_of_several_rates_the_one_that_ends_lowest_is_told_and_one_that_never_arrives():
    surface = Surface(torch.eye(2).double(), torch.zeros(2).double(), 1.0)
    members = [Member(Trial("SGD", rate), 0, 0) for rate in (0.1, 0.2, 0.3)]
    path = torch.zeros(5, 3, 2, dtype=torch.float64)
    path[:, 0, 0] = torch.tensor([1.0, 0.9, 0.8, 0.7, 0.6])
    path[:, 1, 0] = torch.tensor([1.0, 0.5, 0.3, 0.2, 0.4])
    path[:, 2] = torch.nan
    (walk,) = walks(members, path, surface, {}, {}).values()
    assert walk.rate == 0.2 and walk.rates.tolist() == [0.2] * 4
    (row,) = steps_table([walk], surface, 0.05, 2)
    assert row["steps to 5 % above"] == "3" and row["epochs to it"] == "1.5"
    (row,) = steps_table([walk], surface, 0.01, 2)
    assert row["steps to 1 % above"] == "1 of 1 never" and row["epochs to it"] == ""


def test_rates_are_those_of_the_batch_in_which_the_step_is_taken():
    surface = Surface(torch.eye(2).double(), torch.zeros(2).double(), 1.0)
    path = torch.zeros(7, 1, 2, dtype=torch.float64)
    decay = {"linear": Schedule("linear", length=6)}
    members = [Member(Trial("SGD", 0.5, schedule="linear"), 0, 0)]
    (walk,) = walks(members, path, surface, {"SGD": 3}, decay).values()
    torch.testing.assert_close(walk.rates, 0.5 * torch.tensor([3 / 5, 0]).double())


@pytest.mark.slow
def test_an_interrupted_lesson_ends_as_an_uninterrupted_one(recipe, monkeypatch):
    # matplotlib's layout differs from time to time
    monkeypatch.setattr("recipes.study.lesson.draw", lambda *args: None)
    flags = ("study", "fit", "--config=lesson", "--trainer.max_epochs=4", "--model.seeds=[0,1]")
    recipe(*flags, "--name=whole")
    with monkeypatch.context() as patch:
        interrupt_after(27, patch)  # between two steps of gradient descent
        with pytest.raises(MemoryError):
            recipe(*flags, "--name=cut")
    recipe("study", "fit", "--ckpt_path=runs/study/cut/checkpoints/last.ckpt")
    files = (f"runs/study/{name}/lesson.npz" for name in ("whole", "cut"))
    with np.load(next(files)) as whole, np.load(next(files)) as cut:
        assert whole["weights"].shape == (41, 7 * 10 * 2, 2)
        for name in whole.files:
            np.testing.assert_array_equal(whole[name], cut[name], name)
    cut, whole = (Path("runs/study", name) for name in ("cut", "whole"))
    assert (cut / "lesson.md").read_text() == (whole / "lesson.md").read_text()


def test_the_picture_begins_at_the_first_step_and_is_labelled(tmp_path, monkeypatch):
    saved, save = [], Figure.savefig
    monkeypatch.setattr("recipes.study.lesson_picture.Figure", Figure)
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (saved.append(f), save(f, *a, **k)))
    schedules = {name: LRDecay(name) for name in ("constant", "linear", "cosine")}
    fitted(tmp_path, epochs=6, made=study(schedules=schedules))
    (figure,) = [f for f in saved if "lowest" in "".join(s.get_suptitle() for s in f.subfigs)]
    losses, paths, decays = (part.axes for part in figure.subfigs)
    assert [axes.get_xlabel() for axes in losses] == ["steps", "epochs"]
    assert [axes.get_xlim() for axes in losses] == [(0, 6), (0, 6)]
    start = losses[0].lines[0].get_ydata()[0]
    for axes in losses:
        assert axes.get_yscale() == "log" and axes.get_ylim()[1] > start
        assert {text.get_text() for text in axes.texts} >= set(RATES), "names at the ends"
        assert len({one.get_color() for one in axes.lines[1:]}) == len(RATES)
    assert "squared unit" in losses[0].get_ylabel()
    assert len(paths) == 1 + len(RATES), "the rows, and a panel for each"
    for axes in paths[1:]:
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("weight", "bias")
        assert axes.get_xlim() == paths[1].get_xlim() and axes.get_xlim()[0] < 0 < 2
        way = axes.lines[0].get_xdata()
        assert way[0] == 0 and axes.get_xlim()[0] < min(way) <= max(way) < axes.get_xlim()[1]
    assert len(decays) == 2 * 3
    assert [axes.get_title() for axes in decays[:3]] == ["constant", "linear", "cosine"]
    assert decays[0].get_ylabel() == "learning rate" and decays[3].get_xlabel() == "steps"
    assert decays[1].lines[0].get_ydata()[0] == 0.1 and decays[1].lines[0].get_ydata()[-1] == 0


@pytest.mark.parametrize(
    ("made", "data", "message"),
    [
        (lambda: study(loss="mae"), {}, "--model.loss=mse"),
        (lambda: study(splits=[0, 1]), {"test_size": 0.2}, "one of --model.splits"),
        (lambda: study(networks={"two": partial(MLP, 1, [2], 1)}), {}, "--model.network=Linear"),
        (lambda: study(halving=2), {}, "--model.halving=1"),
    ],
)
def test_what_is_no_line_is_refused(made, data, message, tmp_path):
    flags = {**QUIET, "callbacks": [Lesson()], "default_root_dir": tmp_path, "max_epochs": 8}
    with pytest.raises(ValueError, match=f"Lesson.*{message}"):
        Trainer(**flags).fit(made(), line(**data))
