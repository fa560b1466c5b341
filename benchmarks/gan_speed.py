"""A step of recipes.gan beside the update rules that are copied most, and beside a plain loop.

python benchmarks/gan_speed.py [--rounds 7] [--only dcgan mlp points penalties ...]

Identical networks, batches and Adam settings for all sides, on one thread, timed in turn by the
seconds that this process has a core; a ratio is that of the rounds' medians. Ours and the Lightning
example train by `trainer.fit`, with a logger that keeps every 50th row, ours with the callbacks
that the command line adds. Written anew after

    the official Lightning example, examples/pytorch/domain_templates/generative_adversarial_net.py:
        two passes of the generator, both optimizers toggled, both losses logged in each step
    PyTorch-GAN, https://github.com/eriklindernoren/PyTorch-GAN, implementations/gan/gan.py: one
        pass, the discriminator's weights differentiated in the generator's step too, noise from
        NumPy, four times .item() and a line printed in each step

Both have torch's default Adam; "fused" gives them ours. What they do once in a while (grids of
images) is left out, and all read our datamodules.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from torch.optim import Optimizer

from callbacks import ChangedSettings, FiniteLoss, KeyedNoise, WritePredictions
from datamodules import Ring
from datamodules.images import Images
from recipes.gan import GAN
from recipes.gan.examples import centred
from recipes.gan.gradients import Method
from recipes.gan.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
)
from recipes.gan.penalties import R1, R2, total
from recipes.running.messages import silence_noise

WARM = 5  # steps before the clock starts
Networks = tuple[nn.Module, nn.Module]


class Noise(Images):
    """Random bytes in the shape of MNIST, so that nothing is downloaded."""

    input_shape = (1, 28, 28)

    def load(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        images = torch.randint(0, 256, (20_000, 28, 28), dtype=torch.uint8)
        labels = torch.zeros(20_000, dtype=torch.int64)
        return (images, labels), (images[:100], labels[:100])


class Case:
    """Networks, data and how many steps to time."""

    def __init__(
        self, latent: int, make: Callable[[], Networks], data: LightningDataModule, steps: int
    ) -> None:
        self.latent, self.make, self.data, self.steps = latent, make, data, steps


CASES = {
    "dcgan": Case(100, lambda: (DCGANGenerator(100), DCGANDiscriminator()), Noise(64, 100), 25),
    "mlp": Case(
        100,
        lambda: (
            MLPGenerator(100, [128, 256, 512, 1024], [1, 28, 28], batch_norm=True),
            MLPDiscriminator(784, [512, 256]),
        ),
        Noise(64, 100),
        150,
    ),
    "points": Case(
        2, lambda: (MLPGenerator(2, [64] * 4), MLPDiscriminator(2, [64] * 4)), Ring(), 300
    ),
    "points, 4x400": Case(
        2, lambda: (MLPGenerator(2, [400] * 4), MLPDiscriminator(2, [400] * 4)), Ring(), 100
    ),
}


class Clock(Callback):
    """Seconds of a core for a step, without the first ones."""

    seconds = float("nan")

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_start(self, trainer: Trainer, *args: object) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == WARM:
            self.start = time.process_time()

    def on_train_batch_end(self, trainer: Trainer, *args: object) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == WARM + self.steps - 1:
            self.seconds = (time.process_time() - self.start) / self.steps


def fit(
    module: LightningModule, case: Case, precision: str = "32-true", ours: bool = False
) -> float:
    """Seconds of a step within `trainer.fit`."""
    clock = Clock(case.steps)
    added = [KeyedNoise(), ChangedSettings(), FiniteLoss(), WritePredictions()] if ours else []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = Trainer(
            accelerator="cpu",
            precision=precision,
            max_epochs=-1,
            max_steps=10**9,
            logger=CSVLogger(folder),
            callbacks=[clock, Stop(WARM + case.steps), *added],
            limit_val_batches=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, case.data)
    return clock.seconds


class Stop(Callback):
    """Ends training after some batches, however they are counted."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer: Trainer, *args: object) -> None:
        trainer.should_stop = trainer.fit_loop.total_batch_idx + 1 >= self.batches


def ours(case: Case, precision: str = "32-true", channels_last: bool = False) -> float:
    """recipes.gan with the non-saturating game."""
    networks = case.make()
    if channels_last:
        networks = tuple(network.to(memory_format=torch.channels_last) for network in networks)
    return fit(GAN(*networks, case.latent), case, precision, ours=True)


class Example(LightningModule):
    """The update rule of the official Lightning example."""

    def __init__(self, networks: Networks, latent: int, fused: bool | None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = networks
        self.latent, self.fused = latent, fused

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
        return [adam(network, self.fused) for network in (self.generator, self.discriminator)]


def adam(network: nn.Module, fused: bool | None) -> Optimizer:
    """With DCGAN's settings, which all sides have."""
    return torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=fused)


def example(case: Case, fused: bool | None = None) -> float:
    """Seconds of a step of the Lightning example."""
    return fit(Example(case.make(), case.latent, fused), case)


def timed(step: Callable[[Tensor], None], case: Case) -> float:
    """Seconds of a step of a plain loop over the same batches."""
    case.data.setup("fit")
    done = 0
    while True:
        for batch in case.data.train_dataloader():
            if done == WARM:
                start = time.process_time()
            step(centred(case.data.on_after_batch_transfer(batch, 0)[0]))
            done += 1
            if done == WARM + case.steps:
                return (time.process_time() - start) / case.steps


def pytorch_gan(case: Case, fused: bool | None = None) -> float:
    """The update rule of PyTorch-GAN, its sigmoid and BCELoss as one stable function."""
    generator, discriminator = case.make()
    first, second = adam(generator, fused), adam(discriminator, fused)

    def step(images: Tensor) -> None:
        ones, zeros = torch.ones(len(images), 1), torch.zeros(len(images), 1)
        first.zero_grad()
        z = torch.FloatTensor(np.random.normal(0, 1, (len(images), case.latent)))
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

    with contextlib.redirect_stdout(io.StringIO()):
        return timed(step, case)


def plain(case: Case) -> float:
    """Our mathematics without Lightning: the fastest way that we know to write it down."""
    generator, discriminator = case.make()
    first, second = adam(generator, True), adam(discriminator, True)

    def step(images: Tensor) -> None:
        fakes = generator(torch.randn(len(images), case.latent))
        second.zero_grad()
        loss = softplus(-discriminator(images)).mean()
        (loss + softplus(discriminator(fakes.detach())).mean()).backward()
        second.step()
        discriminator.requires_grad_(False)
        first.zero_grad()
        softplus(-discriminator(fakes)).mean().backward()
        first.step()
        discriminator.requires_grad_(True)

    return timed(step, case)


def penalties(rounds: int) -> None:
    """Time of a discriminator's R1 and R2, and the error of its weights' gradient."""
    print("\n| R1 + R2 | exact, ms | differences, ms | ratio | relative error of the gradient |")
    print("|---|---|---|---|---|")
    images, points = torch.randn(2, 64, 1, 28, 28), torch.randn(2, 256, 2)
    smooth = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.SiLU(), nn.Linear(256, 1))
    for name, critic, (real, fake) in (
        ("DCGAN, leaky ReLU", DCGANDiscriminator(batch_norm=False), images),
        ("MLP 2x64, leaky ReLU, points", MLPDiscriminator(2, [64, 64]), points),
        ("MLP 784-256-1, SiLU", smooth, images),
    ):
        times: dict[Method, list[float]] = {"exact": [], "finite_difference": []}
        for _ in range(rounds):
            for method, found in times.items():
                found.append(penalty_seconds(critic, real, fake, method))
        exact, differences = (1000 * statistics.median(found) for found in times.values())
        one, other = (penalty_gradient(critic, real, fake, method) for method in times)
        error = ((one - other).norm() / one.norm()).item()
        ratio = differences / exact
        print(
            f"| {name} | {exact:.2f} | {differences:.2f} | {ratio:.2f} | {error:.1e} |", flush=True
        )


def penalty_gradient(critic: nn.Module, real: Tensor, fake: Tensor, method: Method) -> Tensor:
    """Of the discriminator's weights, flat."""
    loss = total(critic, [R1(1.0), R2(1.0)], real, fake, method)
    weights = list(critic.parameters())
    found = torch.autograd.grad(loss, weights, materialize_grads=True, allow_unused=True)
    return torch.cat([gradient.flatten() for gradient in found])


def penalty_seconds(critic: nn.Module, real: Tensor, fake: Tensor, method: Method) -> float:
    """Of a penalty with its gradient."""
    repeats = 5
    start = time.process_time()
    for _ in range(repeats):
        penalty_gradient(critic, real, fake, method)
    return (time.process_time() - start) / repeats


def compare(name: str, rounds: int) -> None:
    """Prints a row for each side."""
    case = CASES[name]
    sides: dict[str, Callable[[Case], float]] = {
        "recipes.gan": ours,
        "Lightning's example": example,
        "Lightning's example, fused": partial(example, fused=True),
        "PyTorch-GAN": pytorch_gan,
        "PyTorch-GAN, fused": partial(pytorch_gan, fused=True),
        "the same in a plain loop": plain,
    }
    if name == "dcgan":
        bf16 = partial(ours, precision="bf16-mixed")
        sides["recipes.gan, bf16-mixed"] = bf16
        sides["recipes.gan, channels_last"] = partial(ours, channels_last=True)
        sides["recipes.gan, bf16-mixed, channels_last"] = partial(bf16, channels_last=True)
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, measure in sides.items():
            torch.manual_seed(0)
            times[side].append(measure(case))
    own = statistics.median(times["recipes.gan"])
    print(f"\n| {name} | ms a step | of ours |\n|---|---|---|")
    for side, found in times.items():
        median = statistics.median(found)
        print(f"| {side} | {1000 * median:.2f} | {median / own:.2f} |", flush=True)


def main() -> None:
    """Prints a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    every = [*CASES, "penalties"]
    parser.add_argument("--only", nargs="+", choices=every, default=every)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    silence_noise()
    for name in arguments.only:
        penalties(arguments.rounds) if name == "penalties" else compare(name, arguments.rounds)


if __name__ == "__main__":
    main()
