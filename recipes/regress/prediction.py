"""What networks predict together, and how good that is.

All is of the standardised target, until `scores` turns it into the target's own unit.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional import mean_absolute_error, mean_squared_error, r2_score
from torchmetrics.utilities import dim_zero_cat

from recipes.regress.losses import LEAST_VARIANCE, Loss, gaussian_nll

NOMINAL = tuple(tenths / 10 for tenths in range(1, 10))  # shares of the central intervals


def mixture(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of an even mixture: Lakshminarayanan et al. 2017, section 2.4.

    Args:
        mean: of its components, (components, batch)
        variance: theirs, (components, batch)

    Returns:
        (batch,) each
    """
    return mean.mean(0), variance.mean(0) + mean.var(0, correction=0)


def predict(loss: Loss, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Point predictions, and the quantiles, or else the variance as far as the outputs tell.

    Args:
        loss: that the networks were trained with
        outputs: of all networks and dropout passes, (passes, batch, n)

    Returns:
        points (batch,), and quantiles (batch, n) or variances (batch, 1)
    """
    if loss.name == "quantile":
        outputs = outputs.mean(0)
        return loss.predict(outputs)[0], outputs
    mean, variance = loss.predict(outputs)
    mean, variance = mixture(mean, torch.zeros_like(mean) if variance is None else variance)
    return mean, variance.unsqueeze(1)


class Predictions(Metric):
    """The rows of a whole evaluation, on all processes: what is exact whatever the batches."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("rows", [], dist_reduce_fx="cat")

    def update(self, targets: Tensor, losses: Tensor, points: Tensor, spread: Tensor) -> None:
        self.rows.append(torch.cat([torch.stack([targets, losses, points], 1), spread], 1))

    def compute(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Targets, losses, points, (rows,) each, and spread, (rows, 1 or quantiles)."""
        rows = dim_zero_cat(self.rows)
        return *rows[:, :3].unbind(1), rows[:, 3:]


def residual_noise(targets: Tensor, points: Tensor, variances: Tensor) -> float:
    """The constant variance with which variances are, on average, the squared residuals'.

    Args:
        targets: (rows,)
        points: (rows,)
        variances: between networks and dropout passes, (rows,)
    """
    return max(((targets - points).square() - variances).mean().item(), LEAST_VARIANCE)


def total_variance(loss: Loss, spread: Tensor, noise: float) -> Tensor | None:
    """Of the prediction, (rows,), where it is known; not for loss quantile.

    Args:
        loss: that the networks were trained with
        spread: variances from `predict`, (rows, 1)
        noise: constant variance for losses that know none; nan if there was no validation
    """
    if not loss.needs_noise:
        return spread[:, 0]
    return None if math.isnan(noise) else spread[:, 0] + noise


def scores(loss: Loss, rows: tuple[Tensor, ...], noise: float, std: float) -> dict[str, Tensor]:
    """All metrics by name.

    Args:
        loss: that the networks were trained with
        rows: from `Predictions`
        noise: as in `total_variance`
        std: of the target, in its own unit
    """
    targets, losses, points, spread = rows
    found = {"loss": losses.mean(), **point_scores(targets, points, std)}
    if loss.name == "quantile":
        return found | quantile_scores(targets, spread, loss)
    variances = total_variance(loss, spread, noise)
    if variances is None:
        return found
    return found | gaussian_scores(targets, points, variances, std)


def point_scores(targets: Tensor, points: Tensor, std: float) -> dict[str, Tensor]:
    """RMSE and MAE in the target's own unit, and R2, which one row alone does not have.

    Args:
        targets: (rows,)
        points: (rows,)
        std: of the target, in its own unit
    """
    found = {
        "rmse": std * mean_squared_error(points, targets, squared=False),
        "mae": std * mean_absolute_error(points, targets),
    }
    if len(targets) > 1:
        found["r2"] = r2_score(points, targets)
    return found


def gaussian_scores(
    targets: Tensor, points: Tensor, variances: Tensor, std: float
) -> dict[str, Tensor]:
    """NLL in nats, of the target in its own unit; coverage and calibration of central intervals.

    Calibration is as in Kuleshov, Fenner & Ermon 2018, https://arxiv.org/abs/1807.00263, but of
    central intervals, and with absolute distances.

    Args:
        targets: (rows,)
        points: (rows,)
        variances: (rows,)
        std: of the target, in its own unit
    """
    # The distribution's own probability of being as near to the point as the target is.
    within = torch.erf((targets - points).abs() / (2 * variances).sqrt())
    nominal = targets.new_tensor(NOMINAL)
    observed = (within <= nominal.unsqueeze(1)).to(targets.dtype).mean(1)
    return {
        "nll": gaussian_nll(points, variances, targets).mean() + math.log(std),
        "coverage": observed[-1],
        "calibration": (observed - nominal).abs().mean(),
    }


def quantile_scores(targets: Tensor, quantiles: Tensor, loss: Loss) -> dict[str, Tensor]:
    """Coverage of the interval from the 5 to the 95 % quantile, if there are these; calibration.

    Args:
        targets: (rows,)
        quantiles: (rows, levels)
        loss: has the levels
    """
    below = (targets.unsqueeze(1) < quantiles).to(targets.dtype).mean(0)
    found = {"calibration": (below - below.new_tensor(loss.levels)).abs().mean()}
    ends = [
        i for level in (0.05, 0.95) for i, q in enumerate(loss.levels) if math.isclose(q, level)
    ]
    if len(ends) == 2:
        low, high = quantiles[:, ends[0]], quantiles[:, ends[1]]
        found["coverage"] = ((low <= targets) & (targets <= high)).to(targets.dtype).mean()
    return found


def summary(metrics: Mapping[str, Tensor]) -> str:
    """How good the prediction is at the end, in the target's own unit."""
    names = {"rmse": "RMSE", "mae": "MAE", "r2": "R2", "nll": "NLL", "coverage": "90 % interval"}
    found = {key: float(metrics[f"val/{key}"]) for key in names if f"val/{key}" in metrics}
    text = ", ".join(f"{names[key]} {value:.4g}" for key, value in found.items())
    return f"validation, in the target's own unit: {text}"
