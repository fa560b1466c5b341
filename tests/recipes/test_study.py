"""A study: each member against the same configuration trained alone, and what happens to many."""

import csv
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from torch import nn, optim

from callbacks import LRDecay
from datamodules import Diabetes
from recipes.networks import MLP, LinearModel
from recipes.regress import Regress
from recipes.study import Study
from recipes.study.search import Bayes, Chosen, Grid, Random
from recipes.study.together import batching

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
EPOCHS = 12


def small(dropout=0.0):
    return MLP(10, [8, 6], 1, dropout=dropout)


def adafactor(parameters, lr=0.01):
    return optim.Adafactor(parameters, lr=lr)


OPTIMIZERS = {  # and a rate that trains
    "SGD": (partial(optim.SGD), 0.05),
    "momentum": (partial(optim.SGD, momentum=0.9), 0.01),
    "damped": (partial(optim.SGD, momentum=0.9, dampening=0.5, weight_decay=0.1), 0.01),
    "Nesterov": (partial(optim.SGD, momentum=0.9, nesterov=True), 0.01),
    "Adagrad": (partial(optim.Adagrad, lr_decay=0.01), 0.05),
    "Adadelta": (partial(optim.Adadelta), 1.0),
    "RMSprop": (partial(optim.RMSprop, momentum=0.5, centered=True), 0.003),
    "Adam": (partial(optim.Adam, weight_decay=0.01), 0.01),
    "amsgrad": (partial(optim.Adam, amsgrad=True, betas=(0.8, 0.99)), 0.01),
    "fused": (partial(optim.Adam, fused=True), 0.01),
    "AdamW": (partial(optim.AdamW, weight_decay=0.5), 0.01),
    "NAdam": (partial(optim.NAdam), 0.01),
    "RAdam": (partial(optim.RAdam), 0.01),
    "Adamax": (partial(optim.Adamax), 0.02),
    "Rprop": (partial(optim.Rprop), 0.01),
    "ASGD": (partial(optim.ASGD, lambd=0.01, t0=3), 0.05),
    "Adafactor": (partial(optim.Adafactor), 0.05),
    "LBFGS": (partial(optim.LBFGS, max_iter=5), 0.5),
    "wolfe": (partial(optim.LBFGS, max_iter=4, line_search_fn="strong_wolfe"), 1.0),
}
FULL = ("LBFGS", "wolfe", "Rprop")


def alone(make, rate, seed, split=0, network=small, callbacks=(), loss="mse", **data):
    """Parameters of one configuration trained by recipes.regress, as a vector, and its metrics."""
    seed_everything(seed)
    module = Regress(network, lambda params: make(params, lr=rate), loss=loss)
    trainer = Trainer(max_epochs=EPOCHS, callbacks=list(callbacks), **QUIET)
    trainer.fit(module, Diabetes(split=split, seed=seed, **data))
    vector = nn.utils.parameters_to_vector(module.network.parameters()).detach()
    return vector, {k: float(v) for k, v in trainer.callback_metrics.items()}


def together(optimizers, search, epochs=EPOCHS, network=small, data=None, flags=None, **options):
    """A study that has been trained."""
    study = Study(network, optimizers, search, **options)
    trainer = Trainer(max_epochs=epochs, **{**QUIET, **(flags or {})})
    trainer.fit(study, Diabetes(**(data or {})))
    return study


def members(study):
    """Each member of the latest round with its weights."""
    return [
        (member, study.population.row_of(number))
        for number, member in zip(study.population.ids, study.population.members, strict=True)
    ]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_member_is_the_same_configuration_trained_alone(name, tmp_path, monkeypatch):
    """Two rates, two seeds and two splits of one optimizer, to 1e-5; full batch where needed."""
    make, rate = OPTIMIZERS[name]
    data = {"batch_size": "full" if name in FULL else 50}
    rates = [rate, rate / 3]
    study = together(
        {name: make},
        Grid(rates),
        seeds=[0, 3],
        splits=[0, 1],
        data=data,
        flags={"default_root_dir": tmp_path},
    )
    assert len(study.population.members) == 8
    for member, weights in members(study):
        expected, metrics = alone(
            make, member.trial.learning_rate, member.seed, member.split, **data
        )
        torch.testing.assert_close(weights, expected, rtol=1e-5, atol=1e-5)
        number = study.records[0].members.index(member)
        for key in ("val/loss", "val/rmse", "val/mae"):
            assert study.records[0].latest(key, number) == pytest.approx(metrics[key], rel=1e-4)
