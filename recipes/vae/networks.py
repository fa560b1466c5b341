"""Encoders and decoders: fully connected, as the papers', and small convolutional ones."""

from itertools import pairwise
from math import prod
from typing import Literal

from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from recipes.parts.networks import Head, Width, check_layers, smallest_size

Activation = Literal["tanh", "relu", "softplus"]
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "softplus": nn.Softplus}


def initialise(network: nn.Module, activation: Activation) -> None:
    """Weights by Glorot & Bengio 2010, or with relu by He et al. 2015; biases 0."""
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            if activation == "relu" and not isinstance(layer, Head):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            else:
                nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def hidden(inputs: int, widths: list[int], activation: Activation) -> list[nn.Module]:
    """Fully connected layers, each with its activation."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise([inputs, *widths]):
        layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
    return layers


class MLPEncoder(nn.Module):
    """Fully connected layers; inputs of any shape are flattened.

    Burda et al. 2016, section 5: two hidden layers of 200 units, tanh.

    Args:
        inputs: number of values in one input
        outputs: numbers that it gives: of a VAE the means of all units, then their log variances
        widths: units of each hidden layer; []: linear
        activation: of the hidden layers
    """

    def __init__(
        self,
        inputs: Width,
        outputs: Width,
        widths: list[PositiveInt] = [200, 200],  # noqa: B006 - never changed
        activation: Activation = "tanh",
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), *hidden(inputs, widths, activation))
        self.head = Head([inputs, *widths][-1], outputs)
        initialise(self, activation)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))


class MLPDecoder(nn.Module):
    """Fully connected layers from a code to the parameters of each value.

    Args:
        latent: units of a code
        shape: of an example, such as [1, 28, 28]
        widths: units of each hidden layer, from the code to the example; []: linear
        activation: of the hidden layers
        parameters: numbers for each value; 2 where the likelihood's scale is decoded
    """

    def __init__(
        self,
        latent: Width,
        shape: list[Width],
        widths: list[PositiveInt] = [200, 200],  # noqa: B006 - never changed
        activation: Activation = "tanh",
        parameters: PositiveInt = 1,
    ) -> None:
        super().__init__()
        self.shape = (parameters * shape[0], *shape[1:])
        self.features = nn.Sequential(*hidden(latent, widths, activation))
        self.head = Head([latent, *widths][-1], prod(self.shape))
        initialise(self, activation)

    def forward(self, codes: Tensor) -> Tensor:
        return self.head(self.features(codes)).unflatten(1, self.shape)


class ConvEncoder(nn.Module):
    """Strided convolutions that halve the image, with ReLU.

    Args:
        shape: of an image, [channels, height, width], square
        outputs: as of MLPEncoder
        channels: of the feature map after each halving
    """

    def __init__(
        self,
        shape: list[Width],
        outputs: Width,
        channels: list[PositiveInt] = [32, 64],  # noqa: B006 - never changed
    ) -> None:
        super().__init__()
        check_layers("channels", channels)
        end = smallest_size(shape, len(channels))
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([shape[0], *channels]):
            layers += [nn.Conv2d(fan_in, fan_out, 4, 2, 1), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.head = Head(channels[-1] * end**2, outputs)
        initialise(self, "relu")

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


class ConvDecoder(nn.Module):
    """Transposed convolutions that double the image, with ReLU.

    Args:
        latent: units of a code
        shape: of an image, [channels, height, width], square
        channels: of the feature map before each doubling
        parameters: as of MLPDecoder
    """

    def __init__(
        self,
        latent: Width,
        shape: list[Width],
        channels: list[PositiveInt] = [64, 32],  # noqa: B006 - never changed
        parameters: PositiveInt = 1,
    ) -> None:
        super().__init__()
        check_layers("channels", channels)
        start = smallest_size(shape, len(channels))
        layers: list[nn.Module] = [
            nn.Linear(latent, channels[0] * start**2),
            nn.Unflatten(1, (channels[0], start, start)),
        ]
        for fan_in, fan_out in pairwise([*channels, parameters * shape[0]]):
            layers += [nn.ReLU(), nn.ConvTranspose2d(fan_in, fan_out, 4, 2, 1)]
        self.layers = nn.Sequential(*layers)
        initialise(self, "relu")

    def forward(self, codes: Tensor) -> Tensor:
        return self.layers(codes)
