"""The race of GANs on the ring: R3GAN in a plain loop, and PyTorch-GAN's rule."""

import contextlib
import io
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from beside import gans
from beside.race import Average, Marks
from callbacks.schedules import Schedule
from datamodules import Ring
from recipes.gan.networks import MLPDiscriminator, MLPGenerator
from recipes.parts.evaluation.mixture import MixtureQuality

RING_EPOCHS = 40
RING_STEPS = RING_EPOCHS * (100_000 // 256)


def ring_networks() -> tuple[nn.Module, nn.Module]:
    """Those of the config ring."""
    widths = [64] * 4
    return MLPGenerator(2, widths, [2]), MLPDiscriminator(2, widths)


def ring(seed: int, mark: Marks, step: Callable[[Tensor, Tensor], None], judged: nn.Module) -> None:
    """Trains on the ring as long as the config does, and judges a generator after each epoch."""
    data, quality = Ring(seed=seed), MixtureQuality()
    data.setup("fit")
    quality.prepare(data, "val")
    loader, points = data.train_dataloader(), data.sizes["val"]
    for epoch in range(RING_EPOCHS):
        loader.set_epoch(epoch)
        for batch in loader:
            step(*data.on_after_batch_transfer(batch, 0))
        quality.reset()
        with torch.inference_mode():
            quality.update(judged(torch.randn(points, 2)), *[torch.empty(0)] * 2)
        mark(float(quality.compute()["high_quality"]))


def plain_gan(seed: int, mark: Marks) -> None:
    """The config ring: R3GAN, and the average of the generator's weights."""
    generator, discriminator = ring_networks()
    average = Average(generator, 200)
    first, second = (
        Adam(network.parameters(), 0.005, (0.0, 0.99), fused=True)
        for network in (generator, discriminator)
    )
    schedules = [LambdaLR(each, Schedule("cosine", RING_STEPS)) for each in (first, second)]

    def step(real: Tensor, _: Tensor) -> None:
        fake = generator(torch.randn(len(real), 2))
        second.zero_grad()
        real, seen = real.requires_grad_(), fake.detach().requires_grad_()
        real_scores, fake_scores = discriminator(real), discriminator(seen)
        loss, total = softplus(fake_scores - real_scores).mean(), (real_scores + fake_scores).sum()
        gradients = torch.autograd.grad(total, (real, seen), create_graph=True)
        (loss + sum(0.025 * g.square().sum(1).mean() for g in gradients)).backward()
        second.step()
        first.zero_grad()
        discriminator.requires_grad_(False)
        with torch.no_grad():
            real_scores = discriminator(real)
        softplus(real_scores - discriminator(fake)).mean().backward()
        discriminator.requires_grad_(True)
        first.step()
        average.follow()
        for schedule in schedules:
            schedule.step()

    ring(seed, mark, step, average.network)


def pytorch_gan(seed: int, mark: Marks) -> None:
    """PyTorch-GAN's rule and settings, on the same networks."""
    pair = ring_networks()
    with contextlib.redirect_stdout(io.StringIO()):
        ring(seed, mark, gans.pytorch_gan(*pair, 2), pair[0])
