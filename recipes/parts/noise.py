"""Random numbers of a row in an epoch, whatever batch or process it is in."""

import os
from collections.abc import Sequence
from math import prod

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from datamodules.loading.keyed import uniforms
from datamodules.loading.loader import Loader, data_rank

PIXELS, CODES, CORRUPTION = 10, 11, 12  # the first number in the key of what is drawn
EVALUATION = -1  # in the key, in place of an epoch
LONGEST = 2**20  # batch of a loader that is not ours, rows


def places(trainer: Trainer, stage: str, batch_idx: int, size: int) -> Tensor:
    """What identifies the rows of a batch in an epoch, (size,) int64.

    Of our loader it is the row's place in the epoch's order, which is the same in batches of any
    size, on any number of processes, and in a run that is resumed. A loader of another kind says
    nothing about its rows: there it is the number of the batch, the process, and the place within.

    Args:
        trainer: that runs the loop
        stage: train, val, test or predict
        batch_idx: of the batch
        size: of the batch, rows
    """
    names = {"train": "train_dataloader"}
    loader = getattr(trainer, names.get(stage, f"{stage}_dataloaders"))
    if isinstance(loader, list) and len(loader) == 1:
        (loader,) = loader
    if isinstance(loader, Loader):
        found = loader.rows(batch_idx)
        if len(found) == size:
            return found
    rank, processes = data_rank(trainer)
    return (batch_idx * processes + rank) * LONGEST + torch.arange(size)


def global_seed() -> int:
    """The run's seed, where Lightning's seed_everything leaves it, also for child processes."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


def normals(random: Tensor) -> Tensor:
    """Standard normal numbers from uniform ones that are multiples of 2^-24, from 0 to below 1."""
    centred = 2 * random - 1 + 2**-24  # exact in float32, and never -1 or 1
    return torch.erfinv(centred) * 2**0.5


class Noise:
    """The random numbers of a batch's rows: a pure function of (seed, epoch, row).

    In evaluation they do not depend on the epoch: the same weights have the same loss.

    Args:
        rows: what identifies them, (batch,) int64
        epoch: from 0, or `EVALUATION`
        seed: of the run
        device: where the numbers are wanted
        dtype: of them
    """

    def __init__(
        self, rows: Tensor, epoch: int, seed: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.rows, self.key = rows.to(device), (seed, epoch)
        self.dtype = dtype

    def uniform(self, purpose: int, shape: Sequence[int]) -> Tensor:
        """Uniform numbers from 0 to below 1, (batch, ...).

        Args:
            purpose: the first number in the key, such as PIXELS
            shape: of a row
        """
        found = uniforms(self.rows, prod(shape), *self.key, purpose)
        return found.view(-1, *shape).to(self.dtype)

    def normal(self, shape: Sequence[int], *purpose: int) -> Tensor:
        """Standard normal numbers, (batch, ...).

        Args:
            shape: of a row
            purpose: numbers in the key
        """
        found = uniforms(self.rows, prod(shape), *self.key, *purpose)
        return normals(found).view(-1, *shape).to(self.dtype)

    def codes(self, samples: int, latent: int, block: int = 0) -> Tensor:
        """Standard normal numbers, (samples, batch, latent).

        Args:
            samples: of each row; further ones leave the first as they are
            latent: units of a code
            block: number of a block of samples
        """
        found = uniforms(self.rows, samples * latent, *self.key, CODES, block)
        return normals(found).view(-1, samples, latent).transpose(0, 1).to(self.dtype)
