"""Which members one stock optimizer can update together."""

from collections.abc import Iterable, Mapping

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import nn, optim

from recipes.study.members import Numbered

# These update each weight from its own gradients alone, and the update is proportional to the
# learning rate. So one stock optimizer updates all members, and each scales the update to its rate.
PROPORTIONAL = (
    optim.SGD,
    optim.Adagrad,
    optim.Adadelta,
    optim.RMSprop,
    optim.Adam,
    optim.AdamW,
    optim.Adamax,
    optim.NAdam,
    optim.RAdam,
)
# These update each weight by itself too, but not in proportion to the rate: only members of one
# rate are updated together.
ELEMENTWISE = (optim.Rprop, optim.ASGD)
# Members of any other optimizer are trained one by one: L-BFGS searches along a line, Muon needs
# matrices, Adafactor norms, and an unknown one may do anything.

PROBE = [nn.Parameter(torch.zeros(1, 1))]  # a matrix, as Muon takes nothing else


def batching(optimizer: OptimizerCallable) -> str:
    """How an optimizer's members are trained: "together", "by rate" or "one by one"."""
    made = type(optimizer(PROBE))
    if made in PROPORTIONAL:
        return "together"
    return "by rate" if made in ELEMENTWISE else "one by one"


def grouped(makers: Mapping[str, OptimizerCallable], members: Iterable[Numbered]) -> list[list]:
    """Groups of members that one stock optimizer each can update.

    A group has one network and one optimizer; where `batching` is "by rate", also one setting, and
    where it is "one by one", one member.

    Args:
        makers: label to optimizer
        members: with their numbers in the round
    """
    modes = {label: batching(make) for label, make in makers.items()}
    groups: dict[tuple, list[Numbered]] = {}
    for number, member in members:
        trial = member.trial
        key: tuple = (trial.network, trial.optimizer, trial.weight_decay is None)
        if modes[trial.optimizer] != "together":
            key += (trial.learning_rate, trial.weight_decay, trial.schedule)
        if modes[trial.optimizer] == "one by one":
            key += (number,)
        groups.setdefault(key, []).append((number, member))
    return list(groups.values())


def summary(makers: Mapping[str, OptimizerCallable], groups: Iterable[list[Numbered]]) -> str:
    """How members are batched, one line for each optimizer.

    Args:
        makers: label to optimizer
        groups: of `grouped`
    """
    counts: dict[str, list[int]] = {}
    for group in groups:
        counts.setdefault(group[0][1].trial.optimizer, []).append(len(group))
    lines = [f"{sum(map(sum, counts.values()))} members:"]
    for optimizer, sizes in counts.items():
        how = batching(makers[optimizer])
        parts = "" if how == "together" else f", in {len(sizes)} groups"
        lines.append(f"  {optimizer}: {sum(sizes)}, {how}{parts}")
    return "\n".join(lines)
