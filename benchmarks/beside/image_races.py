"""Races of digits: mixtures, feedback alignment and diffusion, each beside a plain loop."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Adam, RMSprop

from beside.race import Average, Marks, Plain, accuracy, validation
from datamodules import Digits
from recipes.diffusion.keys import NOISE, TIMES
from recipes.diffusion.networks import UNet
from recipes.em.bernoulli import BernoulliMixture
from recipes.em.start import initialise
from recipes.feedback.network import FeedbackMLP
from recipes.parts.noise import EVALUATION, Noise

WIDTHS = [100, 100, 100]
STEPS = 1000  # of the diffusion process


def plain_em(seed: int, mark: Marks) -> None:
    """The default of recipes.em."""
    data, mixture = Digits(batch_size=1077, seed=seed), BernoulliMixture(64, 10)
    data.setup("fit")
    inputs, _ = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    known, _ = whole_validation(data)
    initialise(mixture, inputs, "kmeans++", seed)
    x = mixture.observed(inputs)
    with torch.no_grad():
        for _ in range(40):
            mixture.maximize(mixture.statistics(x, mixture(inputs).softmax(1)), 1.0)
            mark(-mixture(known).logsumexp(1).mean().item())


def whole_validation(data: Digits) -> tuple[Tensor, Tensor]:
    """All images of validation and their labels, in one batch."""
    images, labels = zip(*validation(data), strict=True)
    return torch.cat(images), torch.cat(labels)


def plain_feedback(seed: int, mark: Marks) -> None:
    """The default of recipes.feedback."""
    network, data = FeedbackMLP(64, WIDTHS, 10), Digits(seed=seed)
    plain = Plain(network, RMSprop(network.parameters(), 0.001), data, 40)
    plain.train(lambda x, y: cross_entropy(network(x), y), lambda: accuracy(network, data), mark)


def plain_diffusion(seed: int, mark: Marks) -> None:
    """The default of recipes.diffusion: v by class, and the average of the weights."""
    network = UNet([1, 8, 8], [32, 64], classes=10)
    data = Digits(seed=seed)
    plain = Plain(network, Adam(network.parameters(), 0.002, fused=True), data, 40)
    average = Average(network, 5 * len(data.train_dataloader()))
    times = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)
    left = ((times + 0.008) / 1.008 * torch.pi / 2).cos().square()
    abar = torch.cat([left.new_ones(1), (left[1:] / left[:-1]).clamp(min=0.001).cumprod(0)])
    images, labels = whole_validation(data)
    # The recipe's own random numbers of validation, so that both are judged by the same.
    drawn = Noise(torch.arange(len(images)), EVALUATION, seed, images.device, images.dtype)
    fixed = (drawn.uniform(TIMES, ()).double() * STEPS).long() + 1
    noise = drawn.normal(images.shape[1:], NOISE)

    def error(unet: UNet, x0: Tensor, y: Tensor, number: Tensor, noise: Tensor) -> Tensor:
        signal, scale = (
            each.sqrt().float().view(-1, 1, 1, 1) for each in (abar[number], 1 - abar[number])
        )
        seen = unet(signal * x0 + scale * noise, number / STEPS, y)
        return (seen - (signal * noise - scale * x0)).square().mean()

    def loss(x: Tensor, y: Tensor) -> Tensor:
        number = torch.randint(1, STEPS + 1, (len(x),))
        y = torch.where(torch.rand(len(x)) < 0.1, 10, y)
        return error(network, 2 * x - 1, y, number, torch.randn_like(x))

    def judge() -> float:
        average.network.eval()
        return error(average.network, 2 * images - 1, labels, fixed, noise).item()

    plain.train(loss, judge, mark, average.follow)
