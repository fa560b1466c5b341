"""What networks predict together, and how good that is.

All is of the standardised target, until `scores` turns it into the target's own unit.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional import mean_absolute_error, mean_squared_error, r2_score
from torchmetrics.utilities import dim_zero_cat

from datamodules.loading.missing import is_known
from recipes.regress.losses import LEAST_VARIANCE, Loss, gaussian_nll

NOMINAL = tuple(tenths / 10 for tenths in range(1, 10))  # shares of the central intervals


Table = tuple[Tensor, Tensor, Tensor, Tensor]  # of one target: see `Predictions.compute`
Noise = float | list[float]  # of one target, or of each


def by_target(outputs: Tensor, targets: Tensor) -> Tensor:
    """A network's outputs of several targets apart.

    Args:
        outputs: (..., batch, n); of several targets (..., batch, targets x n), those of the first
            target first
        targets: (batch,); several (batch, targets)

    Returns:
        (..., batch, n); of several targets (..., batch, targets, n)
    """
    return outputs if targets.ndim == 1 else outputs.unflatten(-1, (targets.shape[1], -1))


def mixture(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of an even mixture: Lakshminarayanan et al. 2017, section 2.4.

    Args:
        mean: of its components, (components, batch, ...)
        variance: theirs, (components, batch, ...)

    Returns:
        (batch, ...) each
    """
    return mean.mean(0), variance.mean(0) + mean.var(0, correction=0)


def predict(loss: Loss, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Point predictions, and the quantiles, or else the variance as far as the outputs tell.

    Args:
        loss: that the networks were trained with
        outputs: of all networks and dropout passes, `by_target`, (passes, batch, ..., n)

    Returns:
        points (batch, ...), and quantiles (batch, ..., n) or variances (batch, ..., 1)
    """
    if loss.name == "quantile":
        outputs = outputs.mean(0)
        return loss.predict(outputs)[0], outputs
    mean, variance = loss.predict(outputs)
    mean, variance = mixture(mean, torch.zeros_like(mean) if variance is None else variance)
    return mean, variance.unsqueeze(-1)


class Predictions(Metric):
    """The rows of a whole evaluation, on all processes: what is exact whatever the batches."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("rows", [], dist_reduce_fx="cat")
        self.targets = 1

    def update(self, targets: Tensor, losses: Tensor, points: Tensor, spread: Tensor) -> None:
        """Adds rows; those whose target is missing are left out, of each target by itself.

        Args:
            targets: (batch,); several (batch, targets)
            losses: likewise
            points: likewise
            spread: with a further dimension, 1 or quantiles
        """
        self.targets = math.prod(targets.shape[1:])
        which = torch.arange(self.targets, device=targets.device).expand(len(targets), -1)
        which = which.reshape(targets.shape).to(targets.dtype)
        rows = torch.cat([torch.stack([targets, losses, points, which], -1), spread], -1)
        self.rows.append(rows[is_known(targets)])

    def compute(self) -> list[Table]:
        """Targets, losses, points, (rows,) each, and spread, (rows, 1 or quantiles); by target."""
        rows = dim_zero_cat(self.rows)
        parts = [rows[rows[:, 3] == number] for number in range(self.targets)]
        return [(*part[:, :3].unbind(1), part[:, 4:]) for part in parts]


def residual_noise(targets: Tensor, points: Tensor, variances: Tensor) -> float:
    """The constant variance with which variances are, on average, the squared residuals'.

    Args:
        targets: (rows,)
        points: (rows,)
        variances: between networks and dropout passes, (rows,)
    """
    return max(((targets - points).square() - variances).mean().item(), LEAST_VARIANCE)


def noise_of(tables: Sequence[Table]) -> Noise:
    """The `residual_noise` of each target; of one, a number."""
    found = [residual_noise(targets, points, spread[:, 0]) for targets, _, points, spread in tables]
    return found if len(found) > 1 else found[0]


def total_variance(loss: Loss, spread: Tensor, noise: Noise) -> Tensor | None:
    """Of the prediction, (rows, ...), where it is known; not for loss quantile.

    Args:
        loss: that the networks were trained with
        spread: variances from `predict`, (rows, ..., 1)
        noise: constant variance for losses that know none; nan if there was no validation
    """
    if not loss.needs_noise:
        return spread[..., 0]
    constant = spread.new_tensor(noise)
    return None if constant.isnan().any() else spread[..., 0] + constant


def scores_by_target(
    loss: Loss, tables: Sequence[Table], noise: Noise, std: float | list[float], names: list[str]
) -> dict[str, Tensor]:
    """The `scores` of one target; of several those of each, `rmse/<target>`, and their means.

    A target of which no row is known has none.

    Args:
        loss: that the networks were trained with
        tables: from `Predictions`
        noise: as in `total_variance`
        std: of the target, in its own unit, or of each
        names: of the targets
    """
    noises, stds = (v if isinstance(v, list) else [v] * len(tables) for v in (noise, std))
    if len(tables) == 1:
        return scores(loss, tables[0], noises[0], stds[0])
    found, each = {}, {}
    for name, table, constant, std in zip(names, tables, noises, stds, strict=True):
        if len(table[0]):
            for key, value in scores(loss, table, constant, std).items():
                found[f"{key}/{name}"] = value
                each.setdefault(key, []).append(value)
    return {key: torch.stack(values).mean() for key, values in each.items()} | found


def scores(loss: Loss, rows: Table, noise: float, std: float) -> dict[str, Tensor]:
    """All metrics by name, of one target.

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
    count = sum(key.startswith("val/rmse/") for key in metrics)
    whose = f"mean of {count} targets, each in its" if count else "in the target's"
    return f"validation, {whose} own unit: {text}"
