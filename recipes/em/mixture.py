"""What expectation maximisation asks of a mixture: densities, statistics, and an M-step."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

Statistics = dict[str, Tensor]  # by the name of the parameter, whose shape they have


class Mixture(nn.Module, ABC):
    """A mixture of K components: p(x) = sum over k of pi_k p(x | k).

    Beside its densities, expectation maximisation needs the sums over rows that its parameters
    follow from. They have the parameters' names and shapes.

    Args:
        inputs: values of one input, D
        components: K

    Attributes:
        is_free: whether its parameters may have any values, so that gradients can train them
    """

    is_free = True

    def __init__(self, inputs: int, components: int) -> None:
        super().__init__()
        self.inputs, self.components = int(inputs), int(components)
        self.log_weights = nn.Parameter(torch.full((self.components,), -math.log(components)))

    @property
    def weights(self) -> Tensor:
        """pi, (K,)."""
        return self.log_weights.softmax(0)

    def forward(self, inputs: Tensor) -> Tensor:
        """Log pi_k p(x | k) of each input (batch, ...) and component, nats, (batch, K)."""
        return self.log_weights.log_softmax(0) + self.log_densities(self.observed(inputs))

    def observed(self, inputs: Tensor) -> Tensor:
        """What the densities are of: x, (batch, D)."""
        return inputs.flatten(1)

    @property
    @abstractmethod
    def parameter_count(self) -> int:
        """How many numbers it learns, for BIC."""

    @abstractmethod
    def log_densities(self, x: Tensor) -> Tensor:
        """Log p(x | k), nats, (batch, K)."""

    @abstractmethod
    def statistics(self, x: Tensor, responsibilities: Tensor) -> Statistics:
        """Sums over rows, weighted by responsibilities (batch, K)."""

    @abstractmethod
    def maximize(self, statistics: Statistics, step: float) -> None:
        """The M-step, in place.

        Args:
            statistics: sums over rows, or a multiple of them
            step: gamma: how much they count, in shares, beside those of the present parameters
        """

    def shares(self, counts: Tensor, step: float) -> tuple[Tensor, Tensor]:
        """The new weights, (K,), and the number of rows that the counts (K,) are of.

        As in scikit-learn each count is a little above 0, so that an empty component has a mean.
        """
        counts = counts + 10 * torch.finfo(counts.dtype).eps
        rows = counts.sum()
        return mixed(self.weights, counts / rows, step), rows


def mixed(old: Tensor, new: Tensor, step: float) -> Tensor:
    """(1 - gamma) old + gamma new: Cappé & Moulines 2009, equation 13."""
    return (1 - step) * old + step * new
