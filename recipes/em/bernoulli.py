"""A mixture of independent binary values."""

import torch
from jsonargparse.typing import PositiveInt, restricted_number_type
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.em.mixture import Mixture, Statistics, mixed
from recipes.parts.networks import Width

BelowHalf = restricted_number_type("BelowHalf", float, [(">", 0), ("<", 0.5)])


class BernoulliMixture(Mixture):
    """A mixture of independent binary values, such as black and white pixels.

    Its parameters are the logits of each value's probability, so that gradients can train them too.

    Args:
        inputs: values of one input, D
        components: K
        threshold: an input above it is 1, and else 0
        least: probabilities that M-steps give are from this to 1 less this, so that no value of a
            new row is impossible
    """

    def __init__(
        self,
        inputs: Width,
        components: PositiveInt = 10,
        threshold: float = 0.5,
        least: BelowHalf = 1e-3,
    ) -> None:
        super().__init__(inputs, components)
        self.threshold, self.least = float(threshold), float(least)
        self.logits = nn.Parameter(torch.zeros(self.components, self.inputs))

    @property
    def parameter_count(self) -> int:
        return self.components - 1 + self.logits.numel()

    def observed(self, inputs: Tensor) -> Tensor:
        return (inputs.flatten(1) > self.threshold).to(self.logits.dtype)

    def log_densities(self, x: Tensor) -> Tensor:
        """The sum over d of x log p + (1 - x) log (1 - p) = x z - softplus(z), with logits z."""
        return x @ self.logits.T - F.softplus(self.logits).sum(1)

    def statistics(self, x: Tensor, responsibilities: Tensor) -> Statistics:
        return {"log_weights": responsibilities.sum(0), "logits": responsibilities.T @ x}

    @torch.no_grad()
    def maximize(self, statistics: Statistics, step: float) -> None:
        old, (new, rows) = self.weights, self.shares(statistics["log_weights"], step)
        ones = old.unsqueeze(1) * self.logits.sigmoid()
        probabilities = mixed(ones, statistics["logits"] / rows, step) / new.unsqueeze(1)
        self.log_weights.copy_(new.log())
        self.logits.copy_(probabilities.clamp(self.least, 1 - self.least).logit())
