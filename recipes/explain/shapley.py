"""Shapley values by their definition: all coalitions of features."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def coalitions(features: int) -> Tensor:
    """All of them, (2^n, n), of 0 and 1; feature i is in a row if the row's number has bit i."""
    numbers = torch.arange(2**features).unsqueeze(1)
    return (numbers >> torch.arange(features)) & 1


def shapley_values(value: Callable[[Tensor], Tensor], features: int) -> Tensor:
    """Shapley 1953: phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S)).

    Args:
        value: v of coalitions, (rows,) of (rows, n)
        features: n; there are 2^n coalitions

    Returns:
        phi, (n,), which adds up to v(all) - v(none), in float64
    """
    members = coalitions(features)
    values, sizes = value(members).double(), members.sum(1)
    factorials = torch.tensor([math.factorial(k) for k in range(features)], dtype=torch.float64)
    weights = factorials * factorials.flip(0) / math.factorial(features)  # by |S|
    found = []
    for feature in range(features):
        without = (members[:, feature] == 0).nonzero().squeeze(1)
        gains = values[without + 2**feature] - values[without]
        found.append((weights[sizes[without]] * gains).sum())
    return torch.stack(found)
