"""log p(x | z), given a decoder's outputs: Bernoulli, Gaussian or discretised logistic.

A decoder gives `parameters` numbers for each value of x, one after the other along the first
dimension of an example: (parameters * channels, height, width), or (parameters * columns,).
"""

import math
from abc import abstractmethod
from typing import Literal

import torch
from jsonargparse.typing import restricted_number_type
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.parts.numbers import PositiveFinite

Scale = Literal["fixed", "learnt", "decoded"]
Levels = restricted_number_type("Levels", int, [(">=", 2), ("<=", 65536)])


class Likelihood(nn.Module):
    """p(x | z), given a decoder's outputs; subclass it for one of your own.

    Attributes:
        parameters_per_value: numbers that the decoder gives for each value of x
        draws: whether `observed` needs random numbers
    """

    parameters_per_value = 1
    draws = False

    def check(self, inputs: Tensor) -> None:
        """Refuses values that are none of its own, (batch, ...).

        Raises:
            ValueError: naming the option
        """

    def observed(self, inputs: Tensor, random: Tensor | None) -> Tensor:
        """What is encoded, and whose probability is asked for.

        Args:
            inputs: of the data, (batch, ...); images from 0 to 1
            random: uniform from 0 to below 1, of the same shape, if it `draws`
        """
        return inputs

    def forward(self, x: Tensor, outputs: Tensor) -> Tensor:
        """Log p(x | z), nats, (samples, batch).

        Args:
            x: observed, (batch, ...)
            outputs: of the decoder, (samples, batch, parameters * ...)
        """
        return self.of_values(x, outputs).flatten(2).sum(2)

    @abstractmethod
    def of_values(self, x: Tensor, outputs: Tensor) -> Tensor:
        """The same of each value, (samples, batch, ...)."""

    @abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """E[x | z], (samples, batch, ...); arguments as of `forward`."""


def check_unit_interval(inputs: Tensor, name: str) -> None:
    """Raises ValueError, with the likelihood's name, if values are not from 0 to 1."""
    low, high = inputs.min().item(), inputs.max().item()
    if low < 0 or high > 1:
        raise ValueError(
            f"--model.likelihood={name} takes values from 0 to 1, and --data has {low:.3g} to "
            f"{high:.3g}: Gaussian takes any"
        )


class Bernoulli(Likelihood):
    """Independent black and white values: the decoder gives their logits.

    log p(x | z) = sum of x log p + (1 - x) log (1 - p), p = sigmoid(output): Kingma & Welling
    2014, appendix C.1.

    Args:
        binarize: sample: an input from 0 to 1 is the probability of 1, drawn anew at each use
            (Burda et al. 2016, section 5); threshold: an input above 0.5 is 1; null: grey values as
            they are, whose loss is a cross-entropy and no -log p
    """

    def __init__(self, binarize: Literal["sample", "threshold"] | None = "sample") -> None:
        super().__init__()
        self.binarize, self.draws = binarize, binarize == "sample"

    def check(self, inputs: Tensor) -> None:
        if self.binarize != "threshold":
            check_unit_interval(inputs, "Bernoulli")

    def observed(self, inputs: Tensor, random: Tensor | None) -> Tensor:
        if self.binarize is None:
            return inputs
        return (inputs > (0.5 if random is None else random)).to(inputs.dtype)

    def of_values(self, x: Tensor, outputs: Tensor) -> Tensor:
        return x * outputs - F.softplus(outputs)

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()


class Located(Likelihood):
    """A likelihood of a location, which the decoder gives, and a scale.

    Args:
        scale: fixed; learnt: one number for all values, which training changes; decoded: the
            decoder gives the logarithm of each value's scale too, of which std is a factor
        std: the scale, or where a learnt one begins
    """

    def __init__(self, scale: Scale, std: PositiveFinite) -> None:
        super().__init__()
        self.scale, self.std = scale, float(std)
        self.parameters_per_value = 2 if scale == "decoded" else 1
        if scale == "learnt":
            self.log_scale = nn.Parameter(torch.full((1,), math.log(self.std)))

    def located(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Location and logarithm of the scale, of outputs (samples, batch, ...)."""
        if self.scale == "decoded":
            location, log_scale = outputs.chunk(2, 2)
            return location, log_scale + math.log(self.std)
        if self.scale == "learnt":
            return outputs, self.log_scale
        return outputs, outputs.new_tensor(math.log(self.std))

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs.chunk(2, 2)[0] if self.scale == "decoded" else outputs


class Gaussian(Located):
    """Independent normal values: the decoder gives their means.

    log p(x | z) is a density: of grey values it may be above 0. With a fixed std the loss is a
    squared error; a learnt one (Rybkin et al. 2021, section 3, https://arxiv.org/abs/2006.13202)
    balances it with the KL. A linear encoder and decoder are then probabilistic PCA.

    Args:
        scale: fixed; learnt: one standard deviation for all values, which training changes;
            decoded: the decoder gives the logarithm of each value's own too, of which std is a
            factor (Kingma & Welling 2014, appendix C.2)
        std: the standard deviation, or where a learnt one begins
    """

    def __init__(self, scale: Scale = "learnt", std: PositiveFinite = 1.0) -> None:
        super().__init__(scale, std)

    def of_values(self, x: Tensor, outputs: Tensor) -> Tensor:
        mean, log_std = self.located(outputs)
        squares = ((x - mean) * (-log_std).exp()).square()
        return -0.5 * (squares + math.log(2 * math.pi)) - log_std


class DiscretizedLogistic(Located):
    """Grey values of so many levels: the mass that a logistic distribution has in each one's bin.

    p(x | z) = sigmoid((x + b/2 - mean) / s) - sigmoid((x - b/2 - mean) / s), with bins of width b;
    the outermost reach to infinity, so that the levels' probabilities sum to 1. Kingma et al. 2016,
    appendix, https://arxiv.org/abs/1606.04934; Salimans et al. 2017, equation 2.

    Args:
        levels: of a value from 0 to 1: 256 of a byte, 17 of `Digits`
        scale: as of Gaussian
        std: s, or where a learnt one begins
    """

    def __init__(
        self, levels: Levels = 256, scale: Scale = "learnt", std: PositiveFinite = 0.1
    ) -> None:
        super().__init__(scale, std)
        self.levels = levels

    def check(self, inputs: Tensor) -> None:
        check_unit_interval(inputs, "DiscretizedLogistic")
        steps = inputs * (self.levels - 1)
        if ((steps - steps.round()).abs() > 0.01).any():
            raise ValueError(
                f"--model.likelihood.levels={self.levels}: --data has values between these levels; "
                "bytes have 256, Digits 17"
            )

    def of_values(self, x: Tensor, outputs: Tensor) -> Tensor:
        mean, log_scale = self.located(outputs)
        half, inverse = 0.5 / (self.levels - 1), (-log_scale).exp()
        above, below = (x + half - mean) * inverse, (x - half - mean) * inverse
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)), which is no difference
        # of two numbers near 1.
        upper, lower = F.logsigmoid(above), F.logsigmoid(-below)
        middle = upper + lower + torch.log1p(-(-2 * half * inverse).exp())
        return torch.where(x < half, upper, torch.where(x > 1 - half, lower, middle))

    def mean(self, outputs: Tensor) -> Tensor:
        """The most probable values: a location beyond 0 or 1 means the outermost level."""
        return super().mean(outputs).clamp(0, 1)
