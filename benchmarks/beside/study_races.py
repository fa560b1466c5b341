"""Races of a study: the best of many settings of a regression, over the seconds of all of them."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product

import numpy as np
import torch
from sklearn.neural_network import MLPRegressor
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim import SGD, Optimizer

from beside.race import Marks, Plain, default
from datamodules import Diabetes
from datamodules.loading.splits import Split
from recipes.parts.networks import MLP

SEEDS, EPOCHS = 5, 60  # of each setting
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
FUSED = partial(SGD, fused=True)  # as all that can be
OPTIMIZERS: list[Callable[..., Optimizer]] = [
    FUSED,
    partial(FUSED, momentum=0.9),
    partial(FUSED, momentum=0.9, nesterov=True),
    partial(torch.optim.Adagrad, fused=True),
    torch.optim.RMSprop,
    partial(torch.optim.Adam, fused=True),
    partial(torch.optim.AdamW, fused=True),
    torch.optim.NAdam,
    torch.optim.Adamax,
]
# What scikit-learn has of these.
SOLVERS = [
    {"solver": "sgd", "momentum": 0.0},
    {"solver": "sgd", "nesterovs_momentum": False},
    {"solver": "sgd"},
    {"solver": "adam"},
]


def seeds_of(seed: int) -> range:
    """The seeds of a setting, others for each seed of the race."""
    return range(SEEDS * seed, SEEDS * (seed + 1))


def study(seed: int, mark: Marks) -> None:
    """The default of recipes.study."""
    default("study", "val/rmse", f"--model.seeds={list(seeds_of(seed))}")(seed, mark)


def best_epoch(runs: Iterable[list[float]]) -> float:
    """The lowest, over the epochs, of a metric's mean over runs; infinity if all diverged."""
    means = np.mean(list(runs), axis=0)
    return float(np.where(np.isnan(means), math.inf, means).min())


def plain_study(seed: int, mark: Marks) -> None:
    """The same settings, one after another."""
    tables = {number: Diabetes(seed=number) for number in seeds_of(seed)}
    for make, rate in product(OPTIMIZERS, RATES):
        mark(best_epoch(plain_run(make, rate, number, table) for number, table in tables.items()))


def plain_run(
    make: Callable[..., Optimizer], rate: float, seed: int, data: Diabetes
) -> list[float]:
    """The validation RMSE after each epoch."""
    torch.manual_seed(seed)
    network, split = MLP(10, [50], 1), data.splits(0)
    known, found = split.val.to(torch.float32), []

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return mse_loss(network(x)[:, 0], y)

    def judge() -> float:
        return loss(known.inputs, known.targets).sqrt().item() * split.target_std

    plain = Plain(network, make(network.parameters(), lr=rate), data, EPOCHS)
    plain.train(loss, judge, found.append)
    return found


def scikit_study(seed: int, mark: Marks) -> None:
    """MLPRegressor of the same width by its own optimizers, at the same rates, all constant."""
    split = Diabetes().splits(0)
    for solver, rate in product(SOLVERS, RATES):
        given = {"learning_rate_init": rate, "batch_size": 32, "alpha": 0.0, **solver}
        runs = (
            MLPRegressor(hidden_layer_sizes=[50], random_state=number, **given)
            for number in seeds_of(seed)
        )
        mark(best_epoch(scikit_run(model, split) for model in runs))


def scikit_run(model: MLPRegressor, split: Split) -> list[float]:
    """The validation RMSE after each epoch; infinity from where it diverges."""
    inputs, targets = split.train.inputs.numpy(), split.train.targets.numpy()
    found: list[float] = []
    with np.errstate(all="ignore"):
        for _ in range(EPOCHS):
            try:
                model.partial_fit(inputs, targets)
            except ValueError as error:
                if "non-finite" not in str(error):
                    raise
                return found + [math.inf] * (EPOCHS - len(found))
            errors = model.predict(split.val.inputs.numpy()) - split.val.targets.numpy()
            found.append(float(np.sqrt(np.square(errors).mean())) * split.target_std)
    return found
