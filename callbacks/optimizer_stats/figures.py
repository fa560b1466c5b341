"""Figures of a step over some parameters: norms of whole tensors, quantiles over a sample."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

QUANTILES = (0.05, 0.5, 0.95)  # evenly spaced
HISTOGRAM = (64, -12.0, 4.0)  # bins, and the decades that they begin and end with


@dataclass
class Update:
    """One parameter's step.

    Attributes:
        norms: L2 norms of the whole parameter before the step, of its change, and of the gradient
            before clipping
        is_sharded: whether this process has only a part of the parameter
        vectors: of a sample of its elements: update, gradient, and first, second where there are
        phases: what is 0 when training begins and becomes 1, by name
    """

    norms: tuple[Tensor, Tensor, Tensor]
    is_sharded: bool
    vectors: dict[str, Tensor]
    phases: dict[str, Tensor]


def statistics(updates: list[Update], histograms: bool) -> dict[str, Tensor]:
    """Statistics of a step over some parameters, on the device: scalars, and histograms.

    Args:
        updates: one a parameter
        histograms: whether to take them
    """
    columns = zip(*(update.norms for update in updates), strict=True)
    old, change, gradient = (torch.stack(column).norm() for column in columns)
    found = {"parameter_norm": old, "update_ratio": change / old, "gradient_norm": gradient}
    found |= quantiles("effective_step", together(updates, "update").abs(), histograms)
    second = together(updates, "second")
    if second.numel():
        found |= quantiles("second_moment", second, histograms)
    first = together(updates, "first")
    if first.numel():
        gradient = together([update for update in updates if "first" in update.vectors], "gradient")
        product = first.nan_to_num().dot(gradient.nan_to_num())
        norms = first.nan_to_num().norm() * gradient.nan_to_num().norm()
        found["momentum_cosine"] = product / norms
    for name in updates[0].phases:
        phases = [update.phases[name] for update in updates if name in update.phases]
        found[name] = torch.stack(phases).mean()
    return found


def together(updates: list[Update], key: str) -> Tensor:
    """One vector of all parameters and all processes' shards, filled up with NaN."""
    vectors = [update.vectors[key] for update in updates if key in update.vectors]
    if not vectors:
        return torch.empty(0)
    vector = torch.cat(vectors)
    if not updates[0].is_sharded:
        return vector
    longest = torch.tensor(vector.numel(), device=vector.device)
    dist.all_reduce(longest, dist.ReduceOp.MAX)
    padded = vector.new_full((int(longest),), torch.nan)
    padded[: vector.numel()] = vector
    gathered = [torch.empty_like(padded) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, padded)
    return torch.cat(gathered)


def quantiles(name: str, vector: Tensor, histogram: bool) -> dict[str, Tensor]:
    """Quantiles by name, and the vector's histogram over the decades if it is wanted."""
    # On the device: a copy to it would wait.
    levels = torch.linspace(QUANTILES[0], QUANTILES[-1], len(QUANTILES), device=vector.device)
    values = vector.nanquantile(levels)
    found = {f"{name}_q{100 * q:02.0f}": value for q, value in zip(QUANTILES, values, strict=True)}
    if not histogram:
        return found
    bins, low, high = HISTOGRAM
    decades = vector.log10().clamp(low, high).nan_to_num(high + 1)  # which is not counted
    return found | {f"{name}_histogram": torch.histc(decades, bins, low, high)}
