"""The method: one step of a generator and a discriminator, from top to bottom.

Goodfellow et al. 2014, algorithm 1, https://arxiv.org/abs/1406.2661: n updates of the
discriminator, each on examples of its own, then one of the generator. The losses are in losses.py,
the discriminator's penalties in penalties.py, with their papers.
"""

from functools import partial

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from recipes.gan.checks import check_batch
from recipes.gan.constraints import clip_weights
from recipes.gan.examples import Share, packed, shared_out
from recipes.gan.penalties import total
from recipes.gan.terms import critic_alarms, descend, summed, watch_gradient
from recipes.parts.known import full
from recipes.parts.logs import is_logging_step
from recipes.parts.stepping import count_steps_of


def step(gan: LightningModule, batches: list[tuple[Tensor, ...]]) -> dict[str, Tensor]:
    """The updates of the discriminator, each on a share of every batch, then the generator's.

    Args:
        gan: whose networks learn
        batches: (inputs, targets), that are accumulated; mostly one

    Returns:
        what is logged of the last batch, log key to scalar: train/loss is the sum of all losses
    """
    generator, discriminator = gan.optimizers()
    count_steps_of(generator, gan)  # which steps once, and last
    rounds = list(zip(*(shares_of(gan, batch) for batch in batches), strict=True))
    for number, shares in enumerate(rounds):
        # The generator's last pass serves both networks. Not so for several batches, as all of
        # their graphs would be kept at once: for these it makes its fakes again, one by one.
        serves_both = shares is rounds[-1] and len(batches) == 1
        with torch.set_grad_enabled(serves_both):
            fakes = [generate(gan, share.latents, share.labels) for share in shares]
        update = gan.global_step * gan.discriminator_steps + number
        of_share = partial(discriminator_terms, gan, update=update)
        terms = descend(gan, discriminator, map(of_share, shares, fakes), len(batches))
        if gan.weight_clip is not None:
            clip_weights(gan.discriminator, gan.weight_clip)

    if not serves_both:
        fakes = (generate(gan, share.latents, share.labels) for share in shares)
    with gan.toggled_optimizer(generator):  # without gradients for the discriminator's weights
        of_share = partial(generator_terms, gan, batches=len(batches))
        terms = descend(gan, generator, map(of_share, shares, fakes), len(batches)) | terms
    return {"train/loss": summed(terms)} | terms


def shares_of(gan: LightningModule, batch: tuple[Tensor, ...]) -> list[Share]:
    """What each of the step's updates of the discriminator sees of a batch, with new latents."""
    check_batch(len(batch[0]), gan.discriminator_steps, gan.pack)
    real, labels = gan.inputs(batch)
    latents = torch.randn(len(real), gan.latent, device=gan.device, dtype=gan.dtype)
    return shared_out(packed(real, gan.pack), labels, latents, gan.discriminator_steps)


def discriminator_terms(
    gan: LightningModule, share: Share, fake: Tensor, update: int
) -> dict[str, Tensor]:
    """What the discriminator minimises in update number `update` of the run."""
    real, fake = share.real, packed(fake.detach(), gan.pack)
    critic = partial(criticize, gan, labels=share.labels)
    real_scores, fake_scores = critic(real), critic(fake)
    terms = {"train/discriminator": gan.loss.discriminator(real_scores, fake_scores)}
    if gan.penalties and update % gan.penalty_interval == 0:
        penalty = total(critic, gan.penalties, real, fake, gan.penalty_method)
        terms["train/penalty"] = gan.penalty_interval * penalty
    if is_logging_step(gan.trainer):
        terms |= critic_alarms(real_scores, fake_scores)
    return terms


def generator_terms(
    gan: LightningModule, share: Share, fake: Tensor, batches: int
) -> dict[str, Tensor]:
    """What the generator minimises, of one of the step's batches."""
    with torch.no_grad():
        real_scores = criticize(gan, share.real, share.labels) if gan.needs_real else None
    fake_scores = criticize(gan, packed(fake, gan.pack), share.labels)
    terms = {"train/generator": gan.loss.generator(real_scores, fake_scores)}
    if is_logging_step(gan.trainer):
        watch_gradient(fake, terms, gan.trainer, batches)
    return terms


def generate(gan: LightningModule, latents: Tensor, labels: Tensor | None) -> Tensor:
    """Examples (batch, ...) from latents (batch, latent); images in [-1, 1]."""
    return gan.generator(latents) if labels is None else gan.generator(latents, labels)


def criticize(gan: LightningModule, packs: Tensor, labels: Tensor | None) -> Tensor:
    """The discriminator's scores (packs,) of packs (packs, ...), larger for real ones.

    Labels (batch,) are repeated where a penalty asks for several points an example.
    """
    if labels is None:
        return full(gan.discriminator(packs).flatten())
    labels = labels.repeat(len(packs) // len(labels))
    return full(gan.discriminator(packs, labels).flatten())
