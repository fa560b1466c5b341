"""Random numbers that belong to a row in an epoch, whatever batch or process it is in."""

import torch
from torch import Tensor

from datamodules.loading.loader import keyed_seed

# Of SplitMix64 (Steele et al. 2014), as numbers with a sign.
GOLDEN = 0x9E3779B97F4A7C15 - 2**64
FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
BITS = 24  # of a number from 0 to 1, as many as a float32 holds


def shifted(values: Tensor, bits: int) -> Tensor:
    """Shifts 64 bits without a sign to the right, where torch would repeat the sign."""
    return (values >> bits) & (2 ** (64 - bits) - 1)


def scrambled(values: Tensor) -> Tensor:
    """SplitMix64's finaliser: neighbouring numbers give unrelated ones."""
    for bits, factor in zip((30, 27), FACTORS, strict=True):
        values = (values ^ shifted(values, bits)) * factor
    return values ^ shifted(values, 31)


def uniforms(rows: Tensor, count: int, *key: int) -> Tensor:
    """Random numbers of each row: a pure function of the row and the key.

    Args:
        rows: row numbers, (n,) int64
        count: how many each row has
        key: such as a seed and an epoch

    Returns:
        (n, count) float32, uniform from 0 to below 1
    """
    seed = keyed_seed(*key)
    of_row = scrambled(rows * GOLDEN + (seed - 2**64 if seed >= 2**63 else seed))
    places = torch.arange(1, count + 1, device=rows.device)
    # Not in torch's default type, which a run in bfloat16 sets: 1 would be among its numbers.
    return shifted(scrambled(of_row.unsqueeze(1) + places * GOLDEN), 64 - BITS).float() / 2**BITS
