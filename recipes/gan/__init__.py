"""Generative adversarial networks: a generator learns to fool a discriminator.

Goodfellow et al., "Generative Adversarial Nets" (2014), https://arxiv.org/abs/1406.2661; later
papers are named with their equations in losses.py, penalties.py, constraints.py and networks/.
A step, from top to bottom, is step.py.

    discriminator:  min  loss_D(D(x), D(G(z))) + weight * penalty(|grad_x D|)        n times
    generator:      min  loss_G(D(x), D(G(z)))                                       once

Run:      python -m recipes.gan fit --config recipes/gan/digits.yaml
Logs:     train/generator, train/discriminator, train/penalty (weighted), train/loss (their sum);
          train/critic_accuracy (share of pairs in which the real example has the larger number, 0.5
          by chance), train/critic_gap (mean for real minus mean for generated examples),
          train/fake_gradient (mean norm of the gradient of the generator's loss with respect to
          a generated example); lr/Adam (generator), lr/Adam-1 (discriminator); val/loss (both
          losses, no penalty) and the evaluation's val/..., with EMA of the averaged generator
Differs:  one pass of the generator serves both networks, which see the same latents (as in DCGAN's
          code; Goodfellow et al. draw new ones); images are in [-1, 1] for the networks, and in
          [0, 1] outside
"""

from callbacks.samples import Samples
from recipes.gan import networks  # noqa: F401 - known to the parser by their short names
from recipes.gan.module import GAN

__all__ = ["GAN", "Samples"]
