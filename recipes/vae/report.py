"""What a fit says at its end, and log p(x) by many samples."""

import math
from collections.abc import Mapping

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from recipes.parts.noise import Noise
from recipes.vae.bounds import log_weights, sampled
from recipes.vae.units import in_words

BLOCK = 50  # importance samples that are decoded at a time


def negative_log_likelihood(vae: LightningModule, x: Tensor, noise: Noise, samples: int) -> Tensor:
    """-log p(x) by importance sampling, nats an example, (batch,): Burda et al. 2016, eq. 8.

    Args:
        vae: whose encoder proposes the codes
        x: observed, (batch, ...)
        noise: of these rows
        samples: k, codes of each example
    """
    mean, log_variance = vae.encode(x)
    blocks = []
    for start in range(0, samples, BLOCK):
        count = min(BLOCK, samples - start)
        z = sampled(mean, log_variance, noise.codes(count, vae.latent, 1 + start // BLOCK))
        log_w = log_weights(vae.likelihood(x, vae.decode(z)), z, mean, log_variance)
        blocks.append(log_w.logsumexp(0))
    return -torch.stack(blocks).logsumexp(0) + math.log(samples)


def in_a_line(metrics: Mapping[str, Tensor], latent: int) -> str:
    """The bound at the end, its parts, and how many units are active.

    Args:
        metrics: of the last validation
        latent: units of a code
    """
    last = {key.removeprefix("val/"): float(value) for key, value in metrics.items()}
    line = f"validation: loss {last['loss']:.4g} nats an example"
    if "kl" in last:
        line += f" (reconstruction {last['reconstruction']:.4g}, KL {last['kl']:.4g})"
        line += f", {in_words(last['active_units'], latent)}"
    if "auroc_loss" in last:
        line += f", AUROC {last['auroc_loss']:.3f}"
    return line
