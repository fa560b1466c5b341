"""Seconds of 120 runs in one study, beside the same runs one by one: recipes.regress, others.

python benchmarks/study_speed.py [--epochs 20] [--rounds 5] [--growth 8 32 128 512]

Each run trains an MLP of 13-50-1 by Adam at 0.01 with batches of 32 on 448 rows of Friedman's
function 1, in float32 on one thread; runs differ in seed. Sides are timed in turn, by the seconds
that this thread has a core; the ratio is that of the rounds' medians. Of the sides that train one
by one, which share nothing, a single run is timed per round, and multiplied. Through a Trainer, it
is `trainer.fit` with the recipe's module, with 112 rows of validation an epoch as in the shipped
configs, without logger, checkpoints and progress bar; the study's files and picture have a row of
their own. Of scikit-learn it is `fit`, with equal epochs, batches and Adam, no penalty and no
validation. The plain loop has fused Adam, as recipes.regress has, and no validation.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from datamodules import Friedman
from recipes.parts.networks import MLP
from recipes.regress import Regress
from recipes.running.messages import silence_noise
from recipes.study import Study
from recipes.study.search import Grid

ROWS, VALIDATION, UNSEEN = 448, 112, 8
FEATURES, WIDTH, BATCH, RATE, RUNS = 13, 50, 32, 0.01, 120
network = partial(MLP, FEATURES, [WIDTH], 1)


def make_data() -> Friedman:
    """448 rows to train on, 112 for validation, and 8 that nobody looks at."""
    seen = ROWS + VALIDATION
    return Friedman(
        rows=seen + UNSEEN,
        features=FEATURES,
        batch_size=BATCH,
        val_size=VALIDATION / seen,
        test_size=UNSEEN / (seen + UNSEEN),
    )


def fit(module: LightningModule, epochs: int) -> tuple[float, float]:
    """Seconds of `trainer.fit`, of a core: without what the module does at its end, and that."""
    report, reporting = module.on_fit_end, 0.0

    def timed() -> None:
        nonlocal reporting
        start = time.thread_time()
        report()
        reporting = time.thread_time() - start

    module.on_fit_end = timed
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        data = make_data()
        start = time.thread_time()
        trainer.fit(module, data)
        return time.thread_time() - start - reporting, reporting


def study(epochs: int, runs: int = RUNS) -> tuple[float, float]:
    """Seconds of all runs together, and of their report."""
    optimizers = {"Adam": partial(torch.optim.Adam, fused=True)}
    module = Study(network, optimizers, Grid([RATE]), seeds=list(range(runs)))
    return fit(module, epochs)


def regress(epochs: int) -> float:
    """Seconds of one run by recipes.regress."""
    seed_everything(0)
    return sum(fit(Regress(network, partial(torch.optim.Adam, lr=RATE, fused=True)), epochs))


def loop(epochs: int) -> float:
    """Seconds of one run in a plain loop."""
    rows = make_data().splits(0).train.to(torch.float32)
    start = time.thread_time()
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    for _ in range(epochs):
        for batch in torch.randperm(ROWS).split(BATCH):
            optimizer.zero_grad()
            outputs = model(rows.inputs[batch]).squeeze(-1)
            torch.nn.functional.mse_loss(outputs, rows.targets[batch]).backward()
            optimizer.step()
    return time.thread_time() - start


def scikit_learn(epochs: int) -> float:
    """Seconds of one run of scikit-learn's MLPRegressor."""
    rows = make_data().splits(0).train.to(torch.float32)
    inputs, targets = rows.inputs.numpy(), rows.targets.numpy()
    model = MLPRegressor(
        hidden_layer_sizes=(WIDTH,),
        alpha=0.0,
        batch_size=BATCH,
        learning_rate_init=RATE,
        max_iter=epochs,
        tol=0.0,
        n_iter_no_change=epochs + 1,
        random_state=0,
    )
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # that it has not converged
        start = time.thread_time()
        model.fit(inputs, targets)
        seconds = time.thread_time() - start
    assert model.n_iter_ == epochs
    return seconds


def main() -> None:
    """Prints seconds and ratios, then seconds a run against their number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--growth", type=int, nargs="*", default=[8, 32, 128, 512])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    silence_noise()
    epochs = arguments.epochs
    alone: dict[str, Callable[[int], float]] = {
        "recipes.regress, one by one": regress,
        "scikit-learn MLPRegressor": scikit_learn,
        "plain PyTorch loop": loop,
    }
    for side in (study, *alone.values()):
        side(1)  # what is made once a process
    times: dict[str, list[float]] = {"one study": [], "... and its report": []}
    times |= {name: [] for name in alone}
    for _ in range(arguments.rounds):
        training, report = study(epochs)
        times["one study"].append(training)
        times["... and its report"].append(training + report)
        for name, side in alone.items():
            times[name].append(side(epochs) * RUNS)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{RUNS} runs, {epochs} epochs of {ROWS // BATCH} batches, one thread\n")
    print("| | seconds | ms a run | times the study's |\n|---|---|---|---|")
    for name, median in medians.items():
        ratio = median / medians["one study"]
        print(f"| {name} | {median:.2f} | {1e3 * median / RUNS:.1f} | {ratio:.1f} |")
    print("\n| members | seconds | ms a run |\n|---|---|---|")
    for members in arguments.growth:
        seconds = statistics.median(study(epochs, members)[0] for _ in range(3))
        print(f"| {members} | {seconds:.2f} | {1e3 * seconds / members:.2f} |", flush=True)


if __name__ == "__main__":
    main()
