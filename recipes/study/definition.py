"""Refuses, in one line, a study whose arguments contradict each other or say nothing."""

import inspect
from collections.abc import Mapping, Sequence

from lightning.pytorch.cli import OptimizerCallable
from torch.optim import LBFGS

from recipes.parts.distinct import check_distinct
from recipes.regress.losses import Loss
from recipes.study.batching import PROBE
from recipes.study.search import Search
from recipes.study.selection import Metric


def check_study(
    optimizers: Mapping[str, OptimizerCallable],
    search: Search,
    loss: Loss,
    metric: Metric,
    seeds: Sequence[int],
    splits: Sequence[int],
) -> None:
    """Checks the arguments of a study.

    Args:
        optimizers: label to optimizer
        search: of their settings
        loss: that the members minimise
        metric: that trials are compared by
        seeds: of the members
        splits: of the data

    Raises:
        ValueError: naming the option
    """
    if not (optimizers and seeds and splits):
        raise ValueError("a study needs --model.optimizers, --model.seeds, --model.splits")
    check_distinct("--model.seeds", seeds)
    check_distinct("--model.splits", splits)
    if loss.name == "quantile" and metric == "nll":
        raise ValueError("--model.metric=nll: loss quantile has no likelihood")
    for label, make in optimizers.items():
        _check_rate(label, make)
    rates = getattr(search, "learning_rate", None)
    if isinstance(rates, dict) and rates.keys() > optimizers.keys():
        strangers = ", ".join(sorted(rates.keys() - optimizers.keys()))
        raise ValueError(f"--model.search.learning_rate: there is no optimizer {strangers}")


def _check_rate(label: str, make: OptimizerCallable) -> None:
    """Refuses an optimizer with a rate of its own, as the search gives all of them theirs."""
    optimizer = make(PROBE)
    rate = optimizer.defaults.get("lr")
    default = inspect.signature(type(optimizer)).parameters.get("lr")
    if default is not None and default.default not in (rate, default.empty):
        raise ValueError(
            f"--model.optimizers: {label} has lr={rate}, which --model.search.learning_rate gives"
        )


def check_accumulation(
    optimizers: Mapping[str, OptimizerCallable], accumulate: Mapping[str, int]
) -> None:
    """Refuses accumulated gradients of an optimizer that there is not, or that asks for the loss.

    Args:
        optimizers: label to optimizer
        accumulate: label to the batches of a step

    Raises:
        ValueError: naming the option
    """
    for label, batches in accumulate.items():
        if label not in optimizers:
            raise ValueError(f"--model.accumulate: there is no optimizer {label}")
        if batches > 1 and isinstance(optimizers[label](PROBE), LBFGS):
            raise ValueError(
                f"--model.accumulate: {label} evaluates the loss of one batch several times in a "
                "step: --data.batch_size, without accumulation"
            )
