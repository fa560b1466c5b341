"""A small ResNet without normalisation, after R3GAN.

Huang et al. 2024, section 3, https://arxiv.org/abs/2501.05441; with plain 3x3 convolutions in place
of its grouped bottlenecks, and tanh at the generator's end.
"""

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.gan.networks.parts import SLOPE, Critic, Latent, initialise
from recipes.parts.networks import Width, check_layers, smallest_size


class ResidualBlock(nn.Module):
    """x plus two 3x3 convolutions of x, without normalisation; at initialisation the identity.

    The last convolution starts at zero, the first is divided by the root of the number of blocks:
    Fixup, Zhang et al. 2019, section 3, https://arxiv.org/abs/1901.09321, for two layers.

    Args:
        channels: of x
        blocks: in the whole network
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        initialise(self, SLOPE)
        with torch.no_grad():
            self.first.weight.mul_(blocks**-0.5)
            self.second.weight.zero_()

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first(F.leaky_relu(inputs, SLOPE))
        return inputs + self.second(F.leaky_relu(hidden, SLOPE))


def linear_convolution(fan_in: int, fan_out: int, size: int) -> nn.Conv2d:
    """A convolution that no activation follows, initialised to keep the variance of its inputs."""
    layer = nn.Conv2d(fan_in, fan_out, size, padding=size // 2)
    initialise(layer, 1.0)
    return layer


class ResNetGenerator(nn.Module):
    """A small ResNet without normalisation, after R3GAN (Huang et al. 2024, section 3).

    Args:
        latent: values in a latent
        shape: of an image, [channels, height, width]
        channels: at each size, from the smallest on; each size is twice the one before
        blocks: residual blocks at each size
        classes: number of labels, for generation by class
    """

    def __init__(
        self,
        latent: Width,
        shape: list[Width] = [1, 28, 28],  # noqa: B006 - never changed
        channels: list[PositiveInt] = [64, 64, 32],  # noqa: B006
        blocks: PositiveInt = 1,
        classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        check_layers("channels", channels)
        start = smallest_size(shape, len(channels) - 1)
        self.latent = Latent(latent, classes)
        layers: list[nn.Module] = [
            nn.Linear(self.latent.size, channels[0] * start**2),
            nn.Unflatten(1, (channels[0], start, start)),
        ]
        initialise(layers[0], 1.0)
        for number, width in enumerate(channels):
            if number:
                layers.append(linear_convolution(channels[number - 1], width, 1))
                layers.append(nn.Upsample(scale_factor=2, mode="bilinear"))
            layers += [ResidualBlock(width, blocks * len(channels)) for _ in range(blocks)]
        layers += [nn.LeakyReLU(SLOPE), linear_convolution(channels[-1], shape[0], 3), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.latent(latents, labels))


class ResNetDiscriminator(nn.Module):
    """The mirror image of `ResNetGenerator`; average pooling halves the image.

    Args:
        shape: of an image, [channels, height, width]
        channels: at each size, from the largest on; each size is half the one before
        blocks: residual blocks at each size
        pack: images that it sees at a time
        classes: number of labels, for generation by class
    """

    def __init__(
        self,
        shape: list[Width] = [1, 28, 28],  # noqa: B006 - never changed
        channels: list[PositiveInt] = [32, 64, 64],  # noqa: B006
        blocks: PositiveInt = 1,
        pack: PositiveInt = 1,
        classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        check_layers("channels", channels)
        end = smallest_size(shape, len(channels) - 1)
        layers: list[nn.Module] = [linear_convolution(pack * shape[0], channels[0], 3)]
        for number, width in enumerate(channels):
            if number:
                layers += [nn.AvgPool2d(2), linear_convolution(channels[number - 1], width, 1)]
            layers += [ResidualBlock(width, blocks * len(channels)) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers, nn.LeakyReLU(SLOPE), nn.Flatten())
        self.critic = Critic(channels[-1] * end**2, classes)
        initialise(self.critic, 1.0)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.critic(self.layers(images), labels)
