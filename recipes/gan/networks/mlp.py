"""Fully connected networks, for points and small images."""

import math
from itertools import pairwise

from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from recipes.gan.networks.parts import SLOPE, Critic, Latent, initialise
from recipes.parts.networks import Width, check_layers


class MLPGenerator(nn.Module):
    """Fully connected layers with ReLU, initialised as by He et al. 2015.

    Args:
        latent: values in a latent
        widths: units of each hidden layer
        shape: of an example: [2] for points, [channels, height, width] for images
        batch_norm: put batch-norm before each ReLU
        classes: number of labels, for generation by class
    """

    def __init__(
        self,
        latent: Width,
        widths: list[PositiveInt],
        shape: list[Width] = [2],  # noqa: B006 - never changed
        batch_norm: bool = False,
        classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        check_layers("widths", widths)
        self.shape = tuple(shape)
        self.latent = Latent(latent, classes)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([self.latent.size, *widths]):
            layers += [nn.Linear(fan_in, fan_out)]
            layers += [nn.BatchNorm1d(fan_out)] if batch_norm else []
            layers += [nn.ReLU()]
        layers.append(nn.Linear(widths[-1], math.prod(shape)))
        self.layers = nn.Sequential(*layers)
        initialise(self.layers, 0.0)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        outputs = self.layers(self.latent(latents, labels)).unflatten(1, self.shape)
        return outputs.tanh() if len(self.shape) == 3 else outputs


class MLPDiscriminator(nn.Module):
    """Fully connected layers with leaky ReLU, initialised as by He et al. 2015.

    Args:
        inputs: number of values in an example: 2 for points, 784 for a 28x28 image
        widths: units of each hidden layer
        pack: examples that it sees at a time
        classes: number of labels, for generation by class
    """

    def __init__(
        self,
        inputs: Width,
        widths: list[PositiveInt],
        pack: PositiveInt = 1,
        classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        check_layers("widths", widths)
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in pairwise([pack * inputs, *widths]):
            layers += [nn.Linear(fan_in, fan_out), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers)
        self.critic = Critic(widths[-1], classes)
        initialise(self, SLOPE)

    def forward(self, examples: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.critic(self.layers(examples), labels)
