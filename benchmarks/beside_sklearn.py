"""Networks for tables beside scikit-learn's trees and its network, on the same five folds.

python benchmarks/beside_sklearn.py [--sets energy ...] [--data_dir data/uci]

On each fold of KFold(5, shuffle=True, random_state=0) each method is trained with each of its
settings on 64 % of the rows; the one with the least RMSE on 16 % is chosen, and its RMSE on the
fold is told, with no further training. The ensemble has the setting that was chosen for the
network with embeddings. Seconds are those that a core takes to train what was chosen, on one
thread; to choose takes as many trainings as there are settings. All methods see the same
standardised rows. It may be stopped and started again: beside_sklearn.json keeps what is done.
"""

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits
from torch import Tensor

from callbacks import LRDecay
from datamodules import UCI
from recipes.parts.embeddings import PeriodicEmbedding, PiecewiseLinearEmbedding
from recipes.parts.files import replacing
from recipes.parts.networks import MLP
from recipes.regress import Regress
from recipes.running.messages import silence_noise
from sklearn_table import FILE, FOLDS, stored

SETS = {  # batch size and epochs of the networks: 1,900 to 2,400 steps
    "energy": (32, 150),
    "wine-quality-red": (32, 60),
    "power-plant": (128, 50),
}
WIDTHS = [128, 128]
EMBEDDINGS = {
    "none": None,
    "periodic, sigma 0.1": partial(PeriodicEmbedding, sigma=0.1),
    "periodic, sigma 0.5": partial(PeriodicEmbedding, sigma=0.5),
    "piecewise linear, 8 bins": partial(PiecewiseLinearEmbedding, bins=8),
    "piecewise linear, 32 bins": partial(PiecewiseLinearEmbedding, bins=32),
}
Setting = dict[str, Any]
Predict = Callable[[Tensor], Tensor]  # standardised inputs (rows, features) to targets (rows,)
Train = Callable[[UCI, Setting], Predict]


def grid(**values: list[Any]) -> list[Setting]:
    """All combinations of some arguments' values."""
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def scikit_learn(make: Callable[..., Any], data: UCI, setting: Setting) -> Predict:
    """A model of scikit-learn, trained."""
    train = data.splits(0).train
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the epochs are our network's
        model = make(random_state=0, **setting).fit(train.inputs.numpy(), train.targets.numpy())
    return lambda inputs: torch.from_numpy(model.predict(inputs.numpy()))


def their_network(data: UCI, setting: Setting) -> Predict:
    """MLPRegressor, trained: widths, batches and epochs are our network's."""
    batch_size, epochs = SETS[data.hparams.dataset]
    ours = {"hidden_layer_sizes": WIDTHS, "batch_size": batch_size, "max_iter": epochs}
    return scikit_learn(partial(MLPRegressor, n_iter_no_change=epochs, **ours), data, setting)


def our_network(data: UCI, setting: Setting, ensemble: int = 1) -> Predict:
    """recipes.regress, trained: AdamW, its rate decays to 0 along a cosine."""
    seed_everything(0)
    inputs, embedding = data.splits(0).train.inputs.shape[1], EMBEDDINGS[setting["embedding"]]
    network = partial(MLP, inputs, WIDTHS, 1, embedding=embedding)
    rates = {"lr": setting["lr"], "weight_decay": setting["weight_decay"]}
    optimizer = partial(torch.optim.AdamW, fused=True, **rates)
    module = Regress(network, optimizer, ensemble=ensemble)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=SETS[data.hparams.dataset][1],
            limit_val_batches=0,
            callbacks=[LRDecay()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(module, data)
    module.eval()
    return torch.no_grad()(lambda inputs: module(inputs.float()).mean(0).squeeze(-1))


METHODS: dict[str, tuple[Train, list[Setting]]] = {
    "HistGradientBoosting": (
        partial(scikit_learn, HistGradientBoostingRegressor),
        grid(
            max_iter=[200, 1000],
            learning_rate=[0.03, 0.1],
            max_leaf_nodes=[7, 31],
            min_samples_leaf=[5, 20],
        ),
    ),
    "random forest": (
        partial(scikit_learn, partial(RandomForestRegressor, 300)),
        grid(max_features=[0.33, 1.0], min_samples_leaf=[1, 3]),
    ),
    "MLPRegressor": (
        their_network,
        grid(learning_rate_init=[0.001, 0.003, 0.01], alpha=[1e-4, 1e-2, 1.0]),
    ),
    "our MLP": (
        our_network,
        grid(embedding=["none"], lr=[0.003, 0.01], weight_decay=[0.01, 1.0]),
    ),
    "our MLP with embeddings": (
        our_network,
        grid(embedding=[*EMBEDDINGS][1:], lr=[0.003], weight_decay=[0.01, 1.0]),
    ),
}
ENSEMBLE, MEMBER = "ensemble of 5 of these", "our MLP with embeddings"


def rmse(predict: Predict, data: UCI, part: str) -> float:
    """Of a part of the rows, in the target's own unit."""
    rows, std = data.part(part, 0), data.splits(0).target_std
    return float(std * (predict(rows.inputs) - rows.targets).square().mean().sqrt())


def tried(train: Train, data: UCI, setting: Setting) -> dict[str, Any]:
    """What comes of a setting: RMSE on val and test, and seconds of a core."""
    start = time.process_time()
    predict = train(data, setting)
    seconds = time.process_time() - start
    scores = {part: rmse(predict, data, part) for part in ("val", "test")}
    return {"setting": setting, "seconds": seconds, **scores}


def chosen(data: UCI, method: str, done: dict[str, Any]) -> dict[str, Any]:
    """What comes of a method on a fold, by the setting that is best on validation.

    Args:
        data: of the fold
        method: of METHODS, or ENSEMBLE
        done: what the fold's other methods have come to
    """
    if method == ENSEMBLE:
        return tried(partial(our_network, ensemble=5), data, done[MEMBER]["setting"])
    train, settings = METHODS[method]
    return min(
        (tried(train, data, setting) for setting in settings), key=lambda found: found["val"]
    )


def make(names: list[str], data_dir: str) -> None:
    """Makes what is missing of some sets, and keeps each method of each fold at once."""
    for name, fold in product(names, range(FOLDS)):
        data = UCI(data_dir, name, SETS[name][0], folds=FOLDS, fold=fold)
        data.prepare_data()
        for method in [*METHODS, ENSEMBLE]:
            every = stored()
            done = every.setdefault(name, {}).setdefault(str(fold), {})
            if method not in done:
                done[method] = chosen(data, method, done)
                print(name, fold, method, done[method], flush=True)
                with replacing(FILE) as file:
                    file.write_text(json.dumps(every, indent=1) + "\n")


def main() -> None:
    """Makes what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="data/uci")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    silence_noise()
    with threadpool_limits(1):
        make(arguments.sets, arguments.data_dir)


if __name__ == "__main__":
    main()
