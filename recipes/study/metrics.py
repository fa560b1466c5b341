"""Predictions of many members at once, and their metrics."""

import math
from collections.abc import Mapping, Sequence

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from datamodules.loading.missing import is_known
from recipes.parts.known import filled, full
from recipes.regress.losses import Loss, gaussian_nll
from recipes.regress.prediction import mixture
from recipes.study.members import Member


def distribution(
    loss: Loss, outputs: Tensor, noise: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Mean and variance that members predict of the standardised target, (members, batch) each.

    Args:
        loss: says what outputs mean
        outputs: (members, batch, n)
        noise: variance of each member's residuals, (members,), where the network predicts none
    """
    mean, variance = loss.predict(full(outputs))
    if loss.needs_noise and noise is not None:
        variance = noise.to(mean.dtype).unsqueeze(1).expand_as(mean)
    return mean, variance


def sums(
    loss: Loss, outputs: Tensor, targets: Tensor, noise: Tensor | None = None
) -> dict[str, Tensor]:
    """Sums over a batch, of which `metrics` makes metrics: (members,) each, standardised targets.

    Args:
        loss: of the study
        outputs: (members, batch, n)
        targets: (members, batch)
        noise: variance of each member's residuals, (members,), where the network predicts none
    """
    point, variance = distribution(loss, outputs, noise)
    known, targets = is_known(targets), filled(targets)
    error = point - targets
    parts = {
        "rows": torch.ones_like(error),
        "loss": loss(full(outputs), targets),
        "squared": error.square(),
        "absolute": error.abs(),
    }
    if variance is not None:
        parts["nll"] = gaussian_nll(point, variance, targets)
    return {name: torch.where(known, values, 0).sum(1) for name, values in parts.items()}


class Total(dict[str, Tensor]):
    """`sums` of all batches so far."""

    def add(self, found: Mapping[str, Tensor]) -> None:
        """Adds those of a batch."""
        self.update({name: self.get(name, 0) + value for name, value in found.items()})

    def over_processes(self, trainer: Trainer) -> dict[str, Tensor]:
        """Those of all processes together."""
        reduce = trainer.strategy.reduce
        return {name: reduce(value, reduce_op="sum") for name, value in self.items()}


def metrics(total: Mapping[str, Tensor], std: Tensor, likelihood: bool) -> dict[str, Tensor]:
    """Metrics of each member, (members,), in the target's own unit.

    Args:
        total: `sums` added over all batches
        std: standard deviation of each member's target, (members,)
        likelihood: where members predict no variance, compute the NLL with the variance of these
            residuals, which makes it lowest
    """
    mean = {name: value / total["rows"] for name, value in total.items() if name != "rows"}
    found = {
        "loss": mean["loss"],
        "rmse": mean["squared"].sqrt() * std,
        "mae": mean["absolute"] * std,
    }
    if "nll" in mean:
        found["nll"] = mean["nll"] + std.log()
    elif likelihood:
        found["nll"] = 0.5 * (2 * math.pi * math.e * mean["squared"]).log() + std.log()
    return found


def ensembles(
    members: Sequence[Member],
    mean: Tensor,
    variance: Tensor | None,
    targets: Tensor,
    scale: Tensor,
) -> list[dict[str, str | int | float]]:
    """Metrics of each optimizer's and split's members as one deep ensemble, over their seeds.

    Args:
        members: the chosen ones
        mean: that they predict, (members, rows)
        variance: that they predict, (members, rows), or None
        targets: (members, rows)
        scale: mean and standard deviation of each member's target, (members, 2)
    """
    groups: dict[tuple[str, int], list[int]] = {}
    for number, member in enumerate(members):
        groups.setdefault((member.trial.optimizer, member.split), []).append(number)
    rows = []
    for (optimizer, split), ids in groups.items():
        known = is_known(targets[ids[0]])
        std, target, means = scale[ids[0], 1], targets[ids[0], known], mean[ids][:, known]
        error = means.mean(0) - target
        row: dict[str, str | int | float] = {"optimizer": optimizer, "split": split}
        row |= {"seed": "ensemble", "rmse": float(error.square().mean().sqrt() * std)}
        row["mae"] = float(error.abs().mean() * std)
        if variance is not None:
            centre, spread = mixture(means, variance[ids][:, known])
            row["nll"] = float(gaussian_nll(centre, spread, target).mean() + std.log())
        rows.append(row)
    return rows
