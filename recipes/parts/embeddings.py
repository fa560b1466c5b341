"""Embeddings of numbers: a column becomes several values, so that a network can bend where it must.

Gorishniy, Rubachev & Babenko 2022, "On Embeddings for Numerical Features in Tabular Deep Learning",
https://arxiv.org/abs/2203.05556. Each maps (batch, features) to (batch, features x n), `outputs` in
all, each feature by weights of its own. With `width` a linear layer a feature follows, and with
`relu` ReLU: the paper's LR, PLR and Q-LR; without `relu` L, PL and Q-L; without `width` P and Q.
"""

import math
from collections.abc import Callable

import torch
from jsonargparse.typing import PositiveFloat, PositiveInt
from torch import Tensor, nn

# Makes an embedding of so many features.
EmbeddingCallable = Callable[[int], nn.Module]


def periodic(inputs: Tensor, coefficients: Tensor) -> Tensor:
    """sin(v) and cos(v) of v = 2 pi c x, section 3.3, (batch, features, 2 k).

    Args:
        inputs: x, (batch, features)
        coefficients: c, (features, k)
    """
    angles = 2 * math.pi * coefficients * inputs.unsqueeze(-1)
    return torch.cat([angles.sin(), angles.cos()], -1)


def piecewise_linear(inputs: Tensor, left: Tensor, width: Tensor) -> Tensor:
    """How far x is through each bin, section 3.2, equation 1, (batch, features, bins).

    0 before the bin, 1 behind it, linear within; the first bin goes on to the left, the last one to
    the right.

    Args:
        inputs: x, (batch, features)
        left: edge of each bin, (features, bins), ascending
        width: of each bin, (features, bins); 0 of one that is not used, as is its share
    """
    used, number = width > 0, torch.arange(left.shape[1], device=left.device)
    share = used * (inputs.unsqueeze(-1) - left) / torch.where(used, width, 1)
    share = torch.where(number > 0, share.clamp(min=0), share)
    return torch.where(number < used.sum(1, keepdim=True) - 1, share.clamp(max=1), share)


def quantile_bins(values: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Bins with equal numbers of rows, section 3.2.1, as `piecewise_linear` takes them.

    Args:
        values: of the training rows, (rows, features)
        bins: of a feature; fewer are used of one that has equal quantiles
    """
    edges = values.quantile(torch.linspace(0, 1, bins + 1, dtype=values.dtype), dim=0).T
    left, width = torch.zeros(2, len(edges), bins, dtype=values.dtype)
    for feature, quantiles in enumerate(edges):
        distinct = quantiles.unique()
        left[feature, : len(distinct) - 1] = distinct[:-1]
        width[feature, : len(distinct) - 1] = distinct.diff()
    return left, width


class PerFeature(nn.Module):
    """A linear layer for each feature, and ReLU: (batch, features, n) to (batch, features, width).

    Args:
        features: how many there are
        inputs: n, values of a feature
        width: values that it becomes
        relu: whether ReLU follows
    """

    def __init__(self, features: int, inputs: int, width: int, relu: bool) -> None:
        super().__init__()
        bound = inputs**-0.5  # as nn.Linear's
        self.weight = nn.Parameter(torch.empty(features, inputs, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(features, width).uniform_(-bound, bound))
        self.relu = relu

    def forward(self, inputs: Tensor) -> Tensor:
        # A product of matrices a feature: one of vectors a row and feature is 30 times slower.
        outputs = (inputs.transpose(0, 1) @ self.weight).transpose(0, 1) + self.bias
        return outputs.relu() if self.relu else outputs


class LinearEmbedding(nn.Module):
    """A linear layer of each number, and ReLU: the paper's L and LR.

    Args:
        features: numbers in an input
        width: values that each becomes
        relu: whether ReLU follows
    """

    def __init__(self, features: int, width: PositiveInt = 24, relu: bool = True) -> None:
        super().__init__()
        self.outputs = features * width
        self.linear = PerFeature(features, 1, width, relu)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(inputs.unsqueeze(-1)).flatten(1)


class PeriodicEmbedding(nn.Module):
    """Sines and cosines of each number, at frequencies that are trained: the paper's P, PL and PLR.

    Args:
        features: numbers in an input
        frequencies: k, of each number
        sigma: standard deviation that the frequencies c are drawn with
        width: values that each number becomes by a linear layer; null: none, 2 k values
        relu: whether ReLU follows that layer
    """

    def __init__(
        self,
        features: int,
        frequencies: PositiveInt = 48,
        sigma: PositiveFloat = 0.01,
        width: PositiveInt | None = 24,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.outputs = features * (width or 2 * frequencies)
        self.coefficients = nn.Parameter(torch.randn(features, frequencies) * sigma)
        self.linear = PerFeature(features, 2 * frequencies, width, relu) if width else None

    def forward(self, inputs: Tensor) -> Tensor:
        values = periodic(inputs, self.coefficients)
        return (values if self.linear is None else self.linear(values)).flatten(1)


class PiecewiseLinearEmbedding(nn.Module):
    """How far each number is through bins between training quantiles: the paper's Q, Q-L and Q-LR.

    The bins are buffers, so that checkpoints hold them; `show_inputs` sets them when a fit
    begins (embedded.py).

    Args:
        features: numbers in an input
        bins: T, of each number
        width: values that each number becomes by a linear layer; null: none, T values
        relu: whether ReLU follows that layer
    """

    def __init__(
        self,
        features: int,
        bins: PositiveInt = 16,
        width: PositiveInt | None = None,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.features, self.bins = features, bins
        self.outputs = features * (width or bins)
        left = torch.linspace(-2, 2, bins + 1)[:-1].expand(features, bins).clone()
        self.register_buffer("left", left)
        self.register_buffer("width", torch.full_like(left, 4 / bins))
        self.linear = PerFeature(features, bins, width, relu) if width else None

    def see(self, inputs: Tensor) -> None:
        """Takes the bins from training inputs, (rows, features)."""
        for buffer, values in zip(
            (self.left, self.width), quantile_bins(inputs, self.bins), strict=True
        ):
            buffer.copy_(values)

    def forward(self, inputs: Tensor) -> Tensor:
        values = piecewise_linear(inputs, self.left, self.width)
        return (values if self.linear is None else self.linear(values)).flatten(1)
