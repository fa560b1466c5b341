"""Modes of a mixture of normal distributions that samples find."""

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from recipes.parts.evaluation.base import Evaluation
from recipes.parts.evaluation.distances import divergence, entropy, shares

WITHIN = 3  # standard deviations from a mode to a sample of high quality


class MixtureQuality(Evaluation):
    """Of points from the mixtures Ring and Grid, after Lin et al. 2018 (PacGAN), section 4.1.

    A sample is of high quality if it is within 3 standard deviations of the nearest mode, as 98.9 %
    of real points are. `high_quality`: share of such samples; `modes`: modes that are nearest to
    at least one of them; `reverse_kl`: KL(samples || real) in nats over the modes, where each
    sample counts for its nearest mode and the real modes are equally likely; `mode_entropy`: of the
    samples over their nearest modes, in nats, log of the number of modes if all are equally likely:
    if it falls, the generator collapses.
    """

    def __init__(self) -> None:
        super().__init__("samples")

    @property
    def names(self) -> tuple[str, ...]:
        return "modes", "high_quality", "reverse_kl", "mode_entropy"

    def prepare(self, data: LightningDataModule, split: str) -> None:
        if not (hasattr(data, "centers") and hasattr(data, "std")):
            kind = type(data).__name__
            raise ValueError(f"--model.evaluation=MixtureQuality: {kind} has no modes; Ring has")
        self.centers, self.std = data.centers, data.std

    def update(self, samples: Tensor, real: Tensor, targets: Tensor) -> None:
        self.samples.append(samples.float())

    def compute(self) -> dict[str, Tensor]:
        samples = dim_zero_cat(self.samples)
        centers = self.centers.to(samples)
        nearest = torch.cdist(samples, centers).min(1)
        is_good = nearest.values <= WITHIN * self.std
        found = shares(nearest.indices, len(centers))
        uniform = torch.full_like(found, 1 / len(centers))
        return {
            "modes": nearest.indices[is_good].unique().numel() * torch.ones(()),
            "high_quality": is_good.float().mean(),
            "reverse_kl": divergence(found, uniform).float(),
            "mode_entropy": entropy(found).float(),
        }
