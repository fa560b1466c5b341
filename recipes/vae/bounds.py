"""The bounds on log p(x), what they are made of, and its estimate; in nats an example."""

import math

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from recipes.parts.noise import Noise

BLOCK = 50  # importance samples that are decoded at a time


def sampled(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Codes z = mean + std * noise, by the reparameterisation: Kingma & Welling 2014, section 2.4.

    Args:
        mean: of q(z | x), (batch, latent)
        log_variance: the same shape
        noise: standard normal, (samples, batch, latent)

    Returns:
        (samples, batch, latent)
    """
    return mean + (log_variance / 2).exp() * noise


def log_normal(value: Tensor, mean: Tensor | float, log_variance: Tensor | float) -> Tensor:
    """Log density of independent normal values, summed over the last dimension, nats, (...).

    Args:
        value: (..., latent)
        mean: of each value, or of all
        log_variance: likewise
    """
    log_variance = torch.as_tensor(log_variance, dtype=value.dtype, device=value.device)
    squares = (value - mean).square() * (-log_variance).exp()
    return -0.5 * (squares + log_variance + math.log(2 * math.pi)).sum(-1)


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z | x) || p(z)) of each unit of the code, nats, (batch, latent).

    q is normal with these means and variances, p standard normal: Kingma & Welling 2014,
    appendix B.

    Args:
        mean: (batch, latent)
        log_variance: the same shape
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def negative_elbo(
    log_likelihood: Tensor, mean: Tensor, log_variance: Tensor, beta: float = 1.0
) -> Tensor:
    """-ELBO = -E_q[log p(x | z)] + beta KL(q(z | x) || p(z)), nats an example, (batch,).

    Kingma & Welling 2014, equation 10; beta: Higgins et al. 2017, equation 4. With beta 1 it is at
    least -log p(x).

    Args:
        log_likelihood: log p(x | z) of codes drawn from q, nats, (samples, batch)
        mean: of q(z | x), (batch, latent)
        log_variance: likewise
        beta: weight of the KL
    """
    return -log_likelihood.mean(0) + beta * kl_to_prior(mean, log_variance).sum(1)


def importance_weighted_bound(log_weights: Tensor) -> Tensor:
    """L_k = log (1/k) sum_i w_i, w_i = p(x, z_i) / q(z_i | x): nats an example, (batch,).

    Burda et al. 2016, equation 8: at most log p(x), and in expectation it rises with k. Of one
    sample it is the ELBO.

    Args:
        log_weights: log w_i of codes drawn from q, nats, (k, batch)
    """
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def log_weights(log_likelihood: Tensor, z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log w = log p(x | z) + log p(z) - log q(z | x), nats, (samples, batch).

    Args:
        log_likelihood: log p(x | z), nats, (samples, batch)
        z: codes drawn from q, (samples, batch, latent)
        mean: of q(z | x), (batch, latent)
        log_variance: likewise
    """
    return log_likelihood + log_normal(z, 0.0, 0.0) - log_normal(z, mean, log_variance)


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
