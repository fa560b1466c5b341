"""Losses of a regression: what each asks of the network, and what the network's outputs predict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.parts.distinct import check_distinct

Name = Literal["mse", "mae", "huber", "gaussian_nll", "quantile"]
LEAST_VARIANCE = 1e-6  # of a standardised target (Lakshminarayanan et al. 2017, section 2.2.1)


def gaussian(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of a network with two outputs: Lakshminarayanan et al. 2017, section 2.2.1.

    variance = softplus(second output) + 1e-6

    Args:
        outputs: (..., 2)

    Returns:
        mean and variance, (...) each
    """
    mean, raw = outputs.unbind(-1)
    return mean, F.softplus(raw) + LEAST_VARIANCE


def gaussian_nll(mean: Tensor, variance: Tensor, targets: Tensor) -> Tensor:
    """-log N(target; mean, variance), in nats, of each example; all of one shape."""
    return 0.5 * ((targets - mean).square() / variance + variance.log() + math.log(2 * math.pi))


def pinball(outputs: Tensor, targets: Tensor, levels: Tensor) -> Tensor:
    """Mean over levels q of max(q e, (q - 1) e), e = target - output: Koenker & Bassett 1978.

    Args:
        outputs: the quantiles, (..., levels)
        targets: (...)
        levels: q, each between 0 and 1, (levels,)
    """
    error = targets.unsqueeze(-1) - outputs
    return torch.maximum(levels * error, (levels - 1) * error).mean(-1)


@dataclass(frozen=True)
class Loss:
    """A loss of each example: loss(outputs (..., n), targets (...)) is (...).

    Attributes:
        name: mse: squared error; mae: absolute error; huber: squared up to delta, then linear
            (Huber 1964); gaussian_nll: of a mean and a variance; quantile: pinball of each level
        delta: of huber, in unit of the target as it is trained on
        levels: of quantile
    """

    name: Name = "mse"
    delta: float = 1.0
    levels: tuple[float, ...] = (0.05, 0.5, 0.95)

    @classmethod
    def of(cls, name: Name, delta: float, quantiles: Sequence[float]) -> "Loss":
        """The loss that a module's arguments mean.

        Raises:
            ValueError: if delta or quantiles are given to a loss that does not read them, or there
                are no quantiles, or one of them twice
        """
        loss = cls(name, float(delta), tuple(map(float, quantiles)))
        if name != "huber" and loss.delta != cls.delta:
            raise ValueError(f"--model.delta={loss.delta} is of loss huber, not of {name}")
        if name != "quantile" and loss.levels != cls.levels:
            raise ValueError(f"--model.quantiles are of loss quantile, not of {name}")
        if not loss.levels:
            raise ValueError("--model.loss=quantile needs --model.quantiles, such as [0.5]")
        check_distinct("--model.quantiles", loss.levels)
        return loss

    @property
    def outputs(self) -> int:
        """n, the number of outputs that the network must have."""
        return {"gaussian_nll": 2, "quantile": len(self.levels)}.get(self.name, 1)

    @property
    def needs_noise(self) -> bool:
        """Whether the network's outputs say nothing of the target's variance."""
        return self.name not in ("gaussian_nll", "quantile")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.name == "gaussian_nll":
            return gaussian_nll(*gaussian(outputs), targets)
        if self.name == "quantile":
            return pinball(outputs, targets, outputs.new_tensor(self.levels))
        error = outputs.squeeze(-1) - targets
        if self.name == "mse":
            return error.square()
        if self.name == "mae":
            return error.abs()
        return F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=self.delta)

    def predict(self, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """The point prediction, (...), and its variance, (...), if the network gives one.

        The point of quantiles is that of the level nearest to the median.
        """
        if self.name == "gaussian_nll":
            return gaussian(outputs)
        if self.name == "quantile":
            nearest = min(range(len(self.levels)), key=lambda i: abs(self.levels[i] - 0.5))
            return outputs[..., nearest], None
        return outputs.squeeze(-1), None
