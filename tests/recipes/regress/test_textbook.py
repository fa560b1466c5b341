"""The textbook's optimizers on its problem, through the recipe, are the textbook's formulas.

X = [[1, 2], [2, 3], [3, 4], [4, 5]], y = [2, 3, 4, 5], no constant term, from w = 0; the loss is
the mean of (x'w - y)^2 over the batch. 1,000 steps in 64 bits, compared after every one of them.
"""

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch import optim

from callbacks import LRDecay
from datamodules import Textbook
from marks import slow, some
from recipes.parts.networks import LinearModel
from recipes.regress import Regress
from trains import fit

STEPS = 1_000
X = np.array([[1.0, 2], [2, 3], [3, 4], [4, 5]])
Y = np.array([2.0, 3, 4, 5])
EVERY = [np.arange(4)] * STEPS


def descent(w, gradient, t, state, rate=0.02):
    """w = w - rate g."""
    return w - rate * gradient


def exponential(t):
    """rate = alpha gamma^t."""
    return 1e-3 * 0.99**t


def inverse_sqrt(t):
    """rate = alpha (1 + t)^(-1/2)."""
    return 1e-3 / np.sqrt(1 + t)


def accumulated(w, gradient, t, state, rate):
    """v = v + g, w = w - rate_t v: the gradients are added up and never forgotten."""
    state["v"] = state.get("v", 0) + gradient
    return w - rate(t) * state["v"]


def adagrad(w, gradient, t, state, rate=0.1):
    """G = G + g^2, w = w - rate g / (sqrt(G) + eps): Duchi et al. 2011."""
    state["G"] = state.get("G", 0) + gradient**2
    return w - rate * gradient / (np.sqrt(state["G"]) + 1e-10)


def adam(w, gradient, t, state, rate=0.02):
    """Kingma & Ba 2015, algorithm 1."""
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * gradient
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * gradient**2
    m, v = state["m"] / (1 - 0.9 ** (t + 1)), state["v"] / (1 - 0.999 ** (t + 1))
    return w - rate * m / (np.sqrt(v) + 1e-8)


def trajectory(update, order, **kwargs):
    """The weights after each step, (steps, 2)."""
    w, state, found = np.zeros(2), {}, []
    for t, rows in enumerate(order):
        inputs, targets = X[rows], Y[rows]
        gradient = 2 * inputs.T @ (inputs @ w - targets) / len(rows)
        w = update(w, gradient, t, state, **kwargs)
        found.append(w)
    return np.array(found)


class Trajectory(Callback):
    def __init__(self):
        self.weights = []

    def on_train_batch_end(self, trainer, module, *args):
        self.weights.append(module.network.weight.detach().flatten().tolist())


def trained(tmp_path, optimizer, batch_size="full", callbacks=()):
    """The weights after each step of the recipe, (steps, 2), and the rows of each step."""
    data = Textbook(batch_size=batch_size, seed=5)
    module = Regress(lambda: LinearModel(2, bias=False), optimizer=optimizer)
    seen = Trajectory()
    batches = 1 if batch_size == "full" else 4 // batch_size
    settings = {"max_epochs": STEPS // batches, "precision": "64-true", "limit_val_batches": 0}
    _, trainer = fit(module, data, tmp_path, [seen, *callbacks], **settings)
    order, loader = [], data.train_dataloader()
    for epoch in range(trainer.current_epoch):
        loader.set_epoch(epoch)
        order += np.split(loader.order().numpy(), batches)
    return np.array(seen.weights), order


def assert_same(found, expected):
    assert len(found) == STEPS
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "update"),
    [
        (lambda params: optim.SGD(params, lr=0.02), descent),
        slow(lambda params: optim.Adagrad(params, lr=0.1), adagrad),
        slow(lambda params: optim.Adam(params, lr=0.02), adam),
    ],
)
def test_full_batches(tmp_path, optimizer, update):
    found, _ = trained(tmp_path, optimizer)
    expected = trajectory(update, EVERY)
    assert_same(found, expected)
    loss = ((X @ expected[-1] - Y) ** 2).mean()
    assert loss < 0.01 * (Y**2).mean(), "and it learned"


@pytest.mark.parametrize("batch_size", some([1, 2], 1))
def test_mini_batches_in_the_loaders_order(tmp_path, batch_size):
    found, order = trained(tmp_path, lambda params: optim.SGD(params, lr=0.01), batch_size)
    assert len({tuple(rows) for rows in order}) > 3, "the order changes"
    assert_same(found, trajectory(descent, order, rate=0.01))
    if batch_size == 1:
        assert np.abs(found - trajectory(descent, EVERY, rate=0.01)).max() > 1e-2, "order matters"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "decay"),
    [
        slow(exponential, {"schedule": "exponential", "gamma": 0.99}),
        (inverse_sqrt, {"schedule": "inverse_sqrt"}),
    ],
)
def test_accumulated_gradients_with_a_decaying_rate(tmp_path, rate, decay):
    def heavy_ball(params):
        return optim.SGD(params, lr=1e-3, momentum=1.0)

    found, _ = trained(tmp_path, heavy_ball, callbacks=[LRDecay(**decay)])
    assert_same(found, trajectory(accumulated, EVERY, rate=rate))


def test_it_starts_at_zero_whatever_the_seed():
    for seed in (0, 1):
        torch.manual_seed(seed)
        assert not LinearModel(2, bias=False).weight.any()
