"""Losses of examples whose target is known, in the network's own precision; soft targets."""

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule
from torch import Tensor

from datamodules.loading.loader import data_rank
from datamodules.loading.missing import MISSING, is_known
from recipes.parts.sharding import data_group


def class_numbers(targets: Tensor) -> Tensor:
    """The class of each target, (batch,) int64; of soft targets the one with the largest share.

    Args:
        targets: class numbers (batch,), or the classes' shares (batch, classes), floats; `MISSING`
            or NaN where there is none
    """
    if targets.ndim == 1:
        return targets
    return torch.where(targets.isnan().any(1), MISSING, targets.argmax(1))


def full(values: Tensor) -> Tensor:
    """At least float32: losses and metrics are not rounded to 8 bits, nor float64 to float32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def filled(targets: Tensor) -> Tensor:
    """At least float32, and 0 where a target is missing: NaN would spoil the others' gradients."""
    return torch.where(is_known(targets), full(targets), 0)


def mean_of_known(module: LightningModule, losses: Tensor, targets: Tensor) -> Tensor:
    """Mean loss over the examples of a batch whose target is known; 0 if none is.

    The batch is that of all processes together. The mean of each process's own examples would
    weigh an example by how many others its process knows, and two processes would train another
    network than one.

    Args:
        module: whose training step it is
        losses: of each example, (..., batch); of unknown targets any finite value
        targets: (..., batch)

    Returns:
        (...)
    """
    known = is_known(targets)
    count = known.sum(-1).to(losses.dtype)
    processes = data_rank(module.trainer)[1]
    if processes > 1:
        dist.all_reduce(count, group=data_group(module))
        count = count / processes  # as gradients are averaged over processes
    return torch.where(known, losses, 0).sum(-1) / torch.where(count > 0, count, 1)
