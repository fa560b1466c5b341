"""What members predict, and how well: metrics of many members at once."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recipes.regress.losses import Loss, full, gaussian_nll
from recipes.regress.prediction import mixture
from recipes.study.members import Member


def distribution(
    loss: Loss, outputs: Tensor, noise: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Mean and variance that members predict, (members, batch) each, of a standardised target.

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
    """What metrics are made of, summed over a batch: (members,) each, of standardised targets.

    Args:
        loss: of the study
        outputs: (members, batch, n)
        targets: (members, batch)
        noise: variance of each member's residuals, (members,), where the network predicts none
    """
    point, variance = distribution(loss, outputs, noise)
    error = point - full(targets)
    parts = {
        "rows": torch.full_like(error[:, 0], error.shape[1]),
        "loss": loss(full(outputs), full(targets)).sum(1),
        "squared": error.square().sum(1),
        "absolute": error.abs().sum(1),
    }
    if variance is not None:
        parts["nll"] = gaussian_nll(point, variance, full(targets)).sum(1)
    return parts


def metrics(total: dict[str, Tensor], std: Tensor, likelihood: bool) -> dict[str, Tensor]:
    """Metrics of each member, (members,), in the target's own unit.

    Args:
        total: of `sums`, over all batches
        std: of the target that was standardised, (members,)
        likelihood: without a variance, use that of the residuals themselves: the most likely one
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
        variance: likewise, or None
        targets: (members, rows)
        scale: mean and standard deviation of each member's target, (members, 2)
    """
    groups: dict[tuple[str, int], list[int]] = {}
    for number, member in enumerate(members):
        groups.setdefault((member.trial.optimizer, member.split), []).append(number)
    rows = []
    for (optimizer, split), ids in groups.items():
        std, target = scale[ids[0], 1], targets[ids[0]]
        error = mean[ids].mean(0) - target
        row: dict[str, str | int | float] = {"optimizer": optimizer, "split": split}
        row |= {"seed": "ensemble", "rmse": float(error.square().mean().sqrt() * std)}
        row["mae"] = float(error.abs().mean() * std)
        if variance is not None:
            centre, spread = mixture(mean[ids], variance[ids])
            row["nll"] = float(gaussian_nll(centre, spread, target).mean() + std.log())
        rows.append(row)
    return rows
