"""Targets that are not known: how a datamodule marks them, and how others tell them."""

import torch
from torch import Tensor

# A class number that no file can hold: whatever does not look for it fails, and trains on nothing.
MISSING = torch.iinfo(torch.int64).min


def is_known(targets: Tensor) -> Tensor:
    """Which targets are known: numbers that are not NaN, class numbers that are not `MISSING`.

    Args:
        targets: (batch,)

    Returns:
        (batch,), bool
    """
    return ~targets.isnan() if targets.is_floating_point() else targets != MISSING
