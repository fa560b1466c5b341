"""Generators and discriminators: MLPs for points, DCGAN and a norm-free ResNet for images.

Generators end in tanh for images, which are in [-1, 1] within the game, and linearly for points.
Discriminators give one unbounded number, by a last layer that stays in float32 under mixed
precision. With `classes` both are conditional: a generator has an embedding of the label beside the
latent, a discriminator adds the inner product of the label's embedding and its features
(projection: Miyato & Koyama 2018, equation 3, https://arxiv.org/abs/1802.05637).
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.parts.networks import Head

SLOPE = 0.2  # of leaky ReLU below zero, in all discriminators


def check_labels(embedding: nn.Embedding | None, labels: Tensor | None) -> None:
    """Raises ValueError if there are labels without classes, or classes without labels."""
    if (embedding is None) != (labels is None):
        raise ValueError("a network has classes if --model.classes is given, and only then")


class Latent(nn.Module):
    """The latent, with an embedding of the label behind it if there are classes."""

    def __init__(self, latent: int, classes: int | None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, latent) if classes else None
        self.size = 2 * latent if classes else latent

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        check_labels(self.embedding, labels)
        if self.embedding is None:
            return latents
        return torch.cat([latents, self.embedding(labels).to(latents.dtype)], 1)


class Critic(nn.Module):
    """The last layer of a discriminator: one number of features (batch, n), and of the label."""

    def __init__(self, features: int, classes: int | None) -> None:
        super().__init__()
        self.head = Head(features, 1)
        self.embedding = nn.Embedding(classes, features) if classes else None

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        check_labels(self.embedding, labels)
        output = self.head(features)
        if self.embedding is None:
            return output
        with torch.autocast(features.device.type, enabled=False):
            label = self.embedding(labels)
            return output + (label * features.to(label.dtype)).sum(1, keepdim=True)


def start_of(shape: list[int], doublings: int) -> int:
    """The size that an image is grown from, and shrunk to, pixels.

    Raises:
        ValueError: if `shape` is no square image, or not that often divisible
    """
    if len(shape) != 3 or shape[1] != shape[2]:
        raise ValueError(f"shape {shape}: [channels, height, width] of a square image")
    if shape[1] % 2**doublings:
        raise ValueError(f"shape {shape} cannot be halved {doublings} times: give fewer channels")
    return shape[1] // 2**doublings


class MLPGenerator(nn.Module):
    """Fully connected layers with ReLU, initialised as by He et al. 2015.

    Args:
        latent: values in a latent
        widths: units of each hidden layer
        shape: of an example: [2] for points, [channels, height, width] for images
        batch_norm: before each ReLU
        classes: number of labels, for generation by class
    """

    def __init__(
        self,
        latent: int,
        widths: list[int],
        shape: list[int] = [2],  # noqa: B006 - never changed
        batch_norm: bool = False,
        classes: int | None = None,
    ) -> None:
        super().__init__()
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
        pack: examples that it is shown at a time
        classes: number of labels, for generation by class
    """

    def __init__(
        self, inputs: int, widths: list[int], pack: int = 1, classes: int | None = None
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in pairwise([pack * inputs, *widths]):
            layers += [nn.Linear(fan_in, fan_out), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers)
        self.critic = Critic(widths[-1], classes)
        initialise(self, SLOPE)

    def forward(self, examples: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.critic(self.layers(examples), labels)


def initialise(network: nn.Module, slope: float) -> None:
    """He et al. 2015, equation 15, https://arxiv.org/abs/1502.01852: the size of signals is kept.

    Args:
        network: whose linear and convolutional layers are set; biases become 0
        slope: of the leaky ReLU below zero
    """
    gain = nn.init.calculate_gain("leaky_relu", slope)
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            inputs = layer.weight[0].numel()  # of one output
            if isinstance(layer, nn.ConvTranspose2d):  # of its kernel, a stride's part at a pixel
                inputs = layer.weight[:, 0].numel() / math.prod(layer.stride)
            nn.init.normal_(layer.weight, 0.0, gain * inputs**-0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def initialise_dcgan(network: nn.Module) -> None:
    """Radford et al. 2016, section 4: weights N(0, 0.02), scales of batch-norm N(1, 0.02)."""
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)


class DCGANGenerator(nn.Module):
    """Transposed convolutions that double the image: Radford et al. 2016, section 3.

    https://arxiv.org/abs/1511.06434

    Args:
        latent: values in a latent
        shape: of an image, [channels, height, width]
        channels: before each doubling, from the smallest image on
        batch_norm: before each ReLU; without it, weights begin as by He et al. 2015
        classes: number of labels, for generation by class
    """

    def __init__(
        self,
        latent: int,
        shape: list[int] = [1, 28, 28],  # noqa: B006 - never changed
        channels: list[int] = [128, 64],  # noqa: B006
        batch_norm: bool = True,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        start = start_of(shape, len(channels))
        self.latent = Latent(latent, classes)
        layers: list[nn.Module] = [
            nn.Linear(self.latent.size, channels[0] * start**2),
            nn.Unflatten(1, (channels[0], start, start)),
        ]
        for fan_in, fan_out in pairwise([*channels, shape[0]]):
            layers += [nn.BatchNorm2d(fan_in)] if batch_norm else []
            layers += [nn.ReLU(), nn.ConvTranspose2d(fan_in, fan_out, 4, 2, 1)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        initialise_dcgan(self) if batch_norm else initialise(self.layers, 0.0)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.latent(latents, labels))


class DCGANDiscriminator(nn.Module):
    """Strided convolutions that halve the image: Radford et al. 2016, section 3.

    Args:
        shape: of an image, [channels, height, width]
        channels: after each halving
        batch_norm: before each leaky ReLU but the first; without it, weights begin as by He et
            al. 2015
        pack: images that it is shown at a time
        classes: number of labels, for generation by class
    """

    def __init__(
        self,
        shape: list[int] = [1, 28, 28],  # noqa: B006 - never changed
        channels: list[int] = [64, 128],  # noqa: B006
        batch_norm: bool = True,
        pack: int = 1,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        start = start_of(shape, len(channels))
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([pack * shape[0], *channels]):
            layers.append(nn.Conv2d(fan_in, fan_out, 4, 2, 1))
            layers += [nn.BatchNorm2d(fan_out)] if batch_norm and len(layers) > 1 else []
            layers.append(nn.LeakyReLU(SLOPE))
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.critic = Critic(channels[-1] * start**2, classes)
        initialise_dcgan(self) if batch_norm else initialise(self, SLOPE)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.critic(self.layers(images), labels)


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions of x without normalisation; in the beginning x itself.

    The last convolution begins at zero, the first is scaled down by the root of the number of
    blocks: Fixup, Zhang et al. 2019, section 3, https://arxiv.org/abs/1901.09321, for two layers.

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


def convolution(fan_in: int, fan_out: int, size: int) -> nn.Conv2d:
    """Of a linear path: the size of signals is kept."""
    layer = nn.Conv2d(fan_in, fan_out, size, padding=size // 2)
    initialise(layer, 1.0)
    return layer


class ResNetGenerator(nn.Module):
    """A small ResNet without normalisation, after R3GAN (Huang et al. 2024, section 3).

    https://arxiv.org/abs/2501.05441; plain 3x3 convolutions in place of its grouped bottlenecks,
    and tanh at the end.

    Args:
        latent: values in a latent
        shape: of an image, [channels, height, width]
        channels: at each size, from the smallest on; each size is twice the one before
        blocks: residual blocks at each size
        classes: number of labels, for generation by class
    """

    def __init__(
        self,
        latent: int,
        shape: list[int] = [1, 28, 28],  # noqa: B006 - never changed
        channels: list[int] = [64, 64, 32],  # noqa: B006
        blocks: int = 1,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        start = start_of(shape, len(channels) - 1)
        self.latent = Latent(latent, classes)
        layers: list[nn.Module] = [
            nn.Linear(self.latent.size, channels[0] * start**2),
            nn.Unflatten(1, (channels[0], start, start)),
        ]
        initialise(layers[0], 1.0)
        for number, width in enumerate(channels):
            if number:
                layers.append(convolution(channels[number - 1], width, 1))
                layers.append(nn.Upsample(scale_factor=2, mode="bilinear"))
            layers += [ResidualBlock(width, blocks * len(channels)) for _ in range(blocks)]
        layers += [nn.LeakyReLU(SLOPE), convolution(channels[-1], shape[0], 3), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.latent(latents, labels))


class ResNetDiscriminator(nn.Module):
    """The mirror image of `ResNetGenerator`, halved by averaging.

    Args:
        shape: of an image, [channels, height, width]
        channels: at each size, from the largest on; each size is half the one before
        blocks: residual blocks at each size
        pack: images that it is shown at a time
        classes: number of labels, for generation by class
    """

    def __init__(
        self,
        shape: list[int] = [1, 28, 28],  # noqa: B006 - never changed
        channels: list[int] = [32, 64, 64],  # noqa: B006
        blocks: int = 1,
        pack: int = 1,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        start = start_of(shape, len(channels) - 1)
        layers: list[nn.Module] = [convolution(pack * shape[0], channels[0], 3)]
        for number, width in enumerate(channels):
            if number:
                layers += [nn.AvgPool2d(2), convolution(channels[number - 1], width, 1)]
            layers += [ResidualBlock(width, blocks * len(channels)) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers, nn.LeakyReLU(SLOPE), nn.Flatten())
        self.critic = Critic(channels[-1] * start**2, classes)
        initialise(self.critic, 1.0)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.critic(self.layers(images), labels)
