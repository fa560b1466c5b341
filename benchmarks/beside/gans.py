"""A step of recipes.gan beside the update rules that are copied most, and beside a plain loop.

Written anew after

    the official Lightning example, examples/pytorch/domain_templates/generative_adversarial_net.py:
        two passes of the generator, both optimizers toggled, both losses logged in each step
    PyTorch-GAN, https://github.com/eriklindernoren/PyTorch-GAN, implementations/gan/gan.py: one
        pass, the discriminator's weights differentiated in the generator's step too, noise from
        NumPy, four times .item() and a line printed in each step

Both have torch's default Adam there; here it is fused, as ours is. What they do once in a while
(grids of images) is left out, and all read our datamodules.
"""

import contextlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from torch.optim import Optimizer

from beside.comparison import Comparison, Goal
from beside.fits import WARM, Clock, Fit, apart, batches, fit, loop, made, part, weights
from beside.pictures import RandomDigits
from datamodules import Ring
from datamodules.loading.loader import keyed_seed
from recipes.gan import GAN, networks
from recipes.parts.centred import centred

PROOF = 5  # steps after which the weights are compared
FP32, BF16 = "--trainer.precision=32-true", "--trainer.precision=bf16-mixed"
LAST = "--trainer.callbacks+=ChannelsLast"


@dataclass(frozen=True)
class Case:
    """Networks, data and how many steps are timed; classes as in a config.

    Attributes:
        latent: values in a latent
        generator: maps latents to examples
        discriminator: maps examples to a number each
        steps: that are timed
        images: whether the examples are pictures of 28x28 pixels, or points in the plane
    """

    latent: int
    generator: dict[str, Any]
    discriminator: dict[str, Any]
    steps: int
    images: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """Of our fit: the non-saturating game, without penalties."""
        data = made("beside.pictures.RandomDigits", batch_size=64) if self.images else made("Ring")
        named = {"generator": self.generator, "discriminator": self.discriminator}
        return {"model": {**named, "latent": self.latent}, "data": data}

    def data(self) -> LightningDataModule:
        """What the fit reads."""
        return RandomDigits(batch_size=64) if self.images else Ring()

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """Generator and discriminator."""
        parts = self.generator, self.discriminator
        first, second = (getattr(networks, p["class_path"])(**p["init_args"]) for p in parts)
        return first, second


def points(width: int, steps: int) -> Case:
    """Four layers each, of points in the plane."""
    widths = [width] * 4
    generator = made("MLPGenerator", latent=2, widths=widths, shape=[2])
    return Case(2, generator, made("MLPDiscriminator", inputs=2, widths=widths), steps)


CASES = {
    "DCGAN": Case(
        100, made("DCGANGenerator", latent=100), made("DCGANDiscriminator"), 25, images=True
    ),
    "MLP": Case(
        100,
        made(
            "MLPGenerator",
            latent=100,
            widths=[128, 256, 512, 1024],
            shape=[1, 28, 28],
            batch_norm=True,
        ),
        made("MLPDiscriminator", inputs=784, widths=[512, 256]),
        150,
        images=True,
    ),
    "points 4x64": points(64, 300),
    "points 4x400": points(400, 100),
}


def adam(network: nn.Module) -> Optimizer:
    """With DCGAN's settings, which all sides have."""
    return torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)


def ours(case: Case, *flags: str, steps: int | None = None, first: int = WARM) -> Fit:
    """The recipe, by the command line."""
    return fit(GAN, case.config, steps or case.steps, first, flags or [FP32])


class Example(LightningModule):
    """The update rule of the official Lightning example."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = case.networks()
        self.latent = case.latent

    def training_step(self, batch: tuple[Tensor, Tensor]) -> None:
        images = centred(batch[0])
        first, second = self.optimizers()
        z = torch.randn(len(images), self.latent).type_as(images)
        ones = torch.ones(len(images), 1).type_as(images)
        self.toggle_optimizer(first)
        scores = self.discriminator(self.generator(z))
        generator_loss = binary_cross_entropy_with_logits(scores, ones)
        first.zero_grad()
        self.manual_backward(generator_loss)
        first.step()
        self.untoggle_optimizer(first)
        self.toggle_optimizer(second)
        real_loss = binary_cross_entropy_with_logits(self.discriminator(images), ones)
        zeros = torch.zeros(len(images), 1).type_as(images)
        scores = self.discriminator(self.generator(z).detach())
        loss = (real_loss + binary_cross_entropy_with_logits(scores, zeros)) / 2
        second.zero_grad()
        self.manual_backward(loss)
        second.step()
        self.untoggle_optimizer(second)
        self.log_dict({"d_loss": loss, "g_loss": generator_loss})

    def configure_optimizers(self) -> list[Optimizer]:
        return [adam(network) for network in (self.generator, self.discriminator)]


def example(case: Case) -> float:
    """Seconds of the Lightning example by a stock Trainer with its bar, log and checkpoints."""
    clock = Clock(WARM, WARM + case.steps)
    silent = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, silent[0], silent[1]:
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=-1,
            max_steps=2 * (WARM + case.steps + 1),  # Lightning counts both optimizers
            logger=CSVLogger(folder),
            default_root_dir=folder,
            limit_val_batches=0,
            callbacks=[clock],
        )
        trainer.fit(Example(case), case.data())
    return clock.fit.seconds


def pytorch_gan(
    generator: nn.Module, discriminator: nn.Module, latent: int
) -> Callable[[Tensor, Tensor], None]:
    """The update rule of PyTorch-GAN, its sigmoid and BCELoss as one stable function."""
    first, second = adam(generator), adam(discriminator)

    def step(images: Tensor, _: Tensor) -> None:
        images = centred(images)
        ones, zeros = torch.ones(len(images), 1), torch.zeros(len(images), 1)
        first.zero_grad()
        z = torch.FloatTensor(np.random.normal(0, 1, (len(images), latent)))
        fakes = generator(z)
        generator_loss = binary_cross_entropy_with_logits(discriminator(fakes), ones)
        generator_loss.backward()
        first.step()
        second.zero_grad()
        real_loss = binary_cross_entropy_with_logits(discriminator(images), ones)
        fake_loss = binary_cross_entropy_with_logits(discriminator(fakes.detach()), zeros)
        loss = (real_loss + fake_loss) / 2
        loss.backward()
        second.step()
        sums = generator_loss.item(), loss.item()
        print(f"{sums} [D loss: {loss.item():f}] [G loss: {generator_loss.item():f}]")

    return step


def plain(
    generator: nn.Module, discriminator: nn.Module, latent: int
) -> Callable[[Tensor, Tensor], None]:
    """Our mathematics without Lightning: the fastest way that we know to write it down."""
    first, second = adam(generator), adam(discriminator)

    def step(images: Tensor, _: Tensor) -> None:
        images = centred(images)
        fakes = generator(torch.randn(len(images), latent))
        second.zero_grad()
        loss = softplus(-discriminator(images)).mean()
        (loss + softplus(discriminator(fakes.detach())).mean()).backward()
        second.step()
        discriminator.requires_grad_(False)
        first.zero_grad()
        softplus(-discriminator(fakes)).mean().backward()
        first.step()
        discriminator.requires_grad_(True)

    return step


def looped(case: Case, step: Callable[[Tensor, Tensor], None]) -> float:
    """Seconds of a plain loop over the batches that ours reads."""
    with contextlib.redirect_stdout(io.StringIO()):
        return loop(step, batches(case.data()), case.steps)


def proof(case: Case) -> float:
    """The largest difference of ours and the plain loop, with the noise that ours has."""
    found = ours(case, steps=PROOF, first=0)
    pair = case.networks()
    for network, name in zip(pair, ("generator", "discriminator"), strict=True):
        network.load_state_dict(part(found.before, name))
    step, number = plain(*pair, case.latent), iter(range(PROOF))

    def keyed(images: Tensor, labels: Tensor) -> None:
        torch.default_generator.manual_seed(keyed_seed(0, next(number), 0))
        step(images, labels)

    loop(keyed, batches(case.data()), PROOF, 0)
    return max(
        apart(weights(network), part(found.after, name))
        for network, name in zip(pair, ("generator", "discriminator"), strict=True)
    )


def comparison(name: str) -> Comparison:
    """Sides and goals of one pair of networks."""
    case = CASES[name]
    loop_of_ours = "the same in a plain loop"
    sides = {
        "recipes.gan": lambda: ours(case).seconds,
        "Lightning's example, fused": lambda: example(case),
        "PyTorch-GAN's rule, fused": lambda: looped(
            case, pytorch_gan(*case.networks(), case.latent)
        ),
        loop_of_ours: lambda: looped(case, plain(*case.networks(), case.latent)),
    }
    goals = [
        Goal("recipes.gan", "Lightning's example, fused", 0.80),
        Goal("recipes.gan", "PyTorch-GAN's rule, fused", 1.0),
        Goal("recipes.gan", loop_of_ours, 1.05),
    ]
    if name == "DCGAN":
        sides["bf16"] = lambda: ours(case, BF16).seconds
        sides["bf16, channels last"] = lambda: ours(case, BF16, LAST).seconds
        goals += [Goal(side, "recipes.gan", 0.45) for side in ("bf16", "bf16, channels last")]
    work = f"GAN step, {name}"
    return Comparison(work, sides, goals, {loop_of_ours: lambda: proof(case)}, tolerance=1e-4)
