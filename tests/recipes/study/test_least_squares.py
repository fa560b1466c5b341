"""Convex optimizers come to numpy's least squares, in a study of a linear model."""

from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import optim

from callbacks import LRDecay
from datamodules import Linear
from marks import slow
from recipes.parts.networks import LinearModel
from recipes.study import Study
from recipes.study.search import Grid

pytestmark = pytest.mark.usefixtures("undrawn")

FEATURES = 4
CONSTANT = {  # the optimizer, and a rate; the largest curvature is about 2
    "GD": (optim.SGD, 0.3),
    "momentum": (partial(optim.SGD, momentum=0.8), 0.2),
    "Nesterov": (partial(optim.SGD, momentum=0.8, nesterov=True), 0.2),
    "Adagrad": (optim.Adagrad, 0.5),
}
DECAYING = {"RMSprop": (optim.RMSprop, 0.1), "Adam": (optim.Adam, 0.1)}
SGD = {"SGD": (optim.SGD, 0.1)}
# One iteration a step; max_eval would leave it no line search.
WOLFE = partial(optim.LBFGS, line_search_fn="strong_wolfe", max_iter=1, max_eval=25)


def data(condition=5.0, batch_size="full"):
    return Linear(
        200, FEATURES, 0.3, condition, bias=2.0, batch_size=batch_size, val_size=0.0, test_size=0.0
    )


def least_squares(rows):
    """Weights with the constant last, and the mean squared error."""
    inputs = np.column_stack([rows.inputs.numpy(), np.ones(len(rows))])
    weights = np.linalg.lstsq(inputs, rows.targets.numpy(), rcond=None)[0]
    return torch.from_numpy(weights), np.mean((inputs @ weights - rows.targets.numpy()) ** 2)


def trained(optimizers, epochs, folder, callbacks=(), **options):
    """A study of these optimizers, at their rates."""
    study = Study(
        partial(LinearModel, FEATURES),
        {label: make for label, (make, _) in optimizers.items()},
        Grid({label: [rate] for label, (_, rate) in optimizers.items()}),
        seeds=[0],
        metric="loss",
    )
    trainer = Trainer(
        accelerator="cpu",
        precision="64-true",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(study, data(**options))
    return study


def errors(study, truth):
    """Largest distance of a weight from its least-squares value, by optimizer."""
    population = study.population
    weights = population.weights_of(population.ids)
    return {
        member.trial.optimizer: (found - truth).abs().max().item()
        for member, found in zip(population.members, weights, strict=True)
    }


@pytest.mark.parametrize(
    ("optimizers", "epochs", "within", "decays", "batch_size"),
    [
        slow(CONSTANT, 400, 1e-6, False, "full"),
        (DECAYING, 500, 1e-6, True, "full"),
        slow(SGD, 200, 1e-3, True, 20),
        ({"L-BFGS": (WOLFE, 1.0)}, 30, 1e-6, False, "full"),
    ],
)
def test_all_land(optimizers, epochs, within, decays, batch_size, tmp_path):
    callbacks = [LRDecay("linear")] if decays else []
    study = trained(optimizers, epochs, tmp_path, callbacks, batch_size=batch_size)
    found = errors(study, least_squares(data().splits(0).train)[0])
    assert found.keys() == optimizers.keys()
    assert max(found.values()) < within, found


@pytest.mark.slow
def test_what_does_not_settle_is_seen(tmp_path):
    """The negative control: the same without decay, and gradient descent at too large a rate."""
    truth = least_squares(data().splits(0).train)[0]
    optimizers = {"RMSprop": DECAYING["RMSprop"], "GD": (optim.SGD, 1.5)}
    found = errors(trained(optimizers, 500, tmp_path), truth)
    assert found["RMSprop"] > 1e-2
    assert not found["GD"] < 1


@pytest.mark.slow
def test_steps_grow_with_the_condition_number_for_gradient_descent_alone(tmp_path):
    steps = {}
    for condition in (5.0, 100.0):
        floor = least_squares(data(condition).splits(0).train)[1]
        for label, optimizer in {"GD": (optim.SGD, 0.3), "L-BFGS": (WOLFE, 1.0)}.items():
            study = trained({label: optimizer}, 400, tmp_path, condition=condition)
            losses = torch.stack(study.records[0].series["train/loss"])[:, 0]
            steps[label, condition] = int((losses > floor * 1.001).sum())
    assert steps["GD", 100.0] > 8 * steps["GD", 5.0]
    assert steps["L-BFGS", 100.0] < 3 * steps["L-BFGS", 5.0]
