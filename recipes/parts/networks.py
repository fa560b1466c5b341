"""The small networks that the configs name, and `Frozen`, which keeps a network out of training.

Every network maps a batch of inputs to logits. The last layer is kept in float32 under mixed
precision: with 8 bits of mantissa, bfloat16 logits of size 20 are rounded to multiples of 1/8.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import numpy as np
import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.distributed.tensor.parallel.style import ParallelStyle
from torch.nn import functional as F

from datamodules.loading.splits import Share
from recipes.parts.embedded import Embedded
from recipes.parts.embeddings import EmbeddingCallable
from recipes.parts.tensor_parallel import alternating

# A size that the command line takes from the data, unless it is given, whatever its default is.
Width = Annotated[PositiveInt, "from the data"]
# What such parameters are called.
WIDTHS = (
    *("inputs", "outputs", "numbers", "blocks", "shape", "latent"),
    *("vocabulary", "context"),
)

# Makes a network, for those who need several from initialisations of their own.
NetworkCallable = Callable[[], nn.Module]


def check_layers(name: str, sizes: Sequence[int]) -> None:
    """Raises ValueError if the sizes of a network's layers, by their argument's name, are none."""
    if not sizes:
        raise ValueError(f"{name}=[]: give at least one layer, such as {name}=[16]")


class Head(nn.Linear):
    """The last layer: linear, and in its weights' own type under mixed precision: float32."""

    def forward(self, input: Tensor) -> Tensor:
        if torch.jit.is_scripting():  # which knows neither super() nor a device of its input
            return F.linear(input.to(self.weight.dtype), self.weight, self.bias)
        else:
            with torch.autocast(input.device.type, enabled=False):
                return super().forward(input.to(self.weight.dtype))


class MLP(nn.Module):
    """Fully connected layers with ReLU; inputs of any shape are flattened.

    Args:
        inputs: number of values in one input, 784 for a 28x28 image
        widths: units of each hidden layer, from the input to the output
        outputs: number of outputs, in classification one per class
        dropout: share of hidden units that are dropped while training, from 0 to below 1
        input_dropout: share of input values that are dropped while training, from 0 to below 1
        embedding: of the inputs that are numbers: LinearEmbedding, PeriodicEmbedding,
            PiecewiseLinearEmbedding, or any class_path
        numbers: how many inputs are numbers, the first ones, for the embedding; by default all
        category_width: values that each category, a one-hot block of the inputs, is embedded in
        blocks: inputs in each one-hot block, from the first of these blocks to the last input

    Raises:
        ValueError: if numbers and blocks are more than the inputs, or category_width has no blocks
    """

    def __init__(
        self,
        inputs: Width,
        widths: list[PositiveInt],
        outputs: Width = 10,
        dropout: Share = 0.0,
        input_dropout: Share = 0.0,
        embedding: EmbeddingCallable | None = None,
        numbers: NonNegativeInt | None = None,
        category_width: PositiveInt | None = None,
        blocks: list[PositiveInt] | None = None,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        if embedding is not None or category_width is not None:
            self.embedding = Embedded(inputs, embedding, numbers, category_width, blocks)
            inputs = self.embedding.outputs
        layers: list[nn.Module] = [nn.Flatten()]
        if input_dropout:
            layers.append(nn.Dropout(input_dropout))
        for fan_in, fan_out in zip([inputs, *widths], widths, strict=False):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        self.features = nn.Sequential(*layers)
        self.head = Head([inputs, *widths][-1], outputs)

    def tensor_parallel_plan(self) -> dict[str, ParallelStyle]:
        layers = [*self.features.named_children()]
        linear = [f"features.{n}" for n, layer in layers if isinstance(layer, nn.Linear)]
        return alternating([*linear, "head"])

    def forward(self, inputs: Tensor) -> Tensor:
        if hasattr(self, "embedding"):
            inputs = self.embedding(inputs)
        return self.head(self.features(inputs))


class ConvNet(nn.Module):
    """3x3 convolutions with batch-norm and ReLU, halved in size between blocks, then averaged.

    Args:
        channels: channels of each block; all blocks but the first work on a halved image
        outputs: number of classes
        inputs: channels of the image, 1 for grey
        dropout: share of the averaged features that are dropped while training, from 0 to below 1

    Raises:
        ValueError: without channels
    """

    def __init__(
        self,
        channels: list[PositiveInt],
        outputs: Width = 10,
        inputs: Width = 1,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__()
        check_layers("channels", channels)
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip([inputs, *channels], channels, strict=False):
            if layers:
                layers.append(nn.MaxPool2d(2))
            for first in (fan_in, fan_out):
                layers += [
                    nn.Conv2d(first, fan_out, 3, padding=1, bias=False),
                    nn.BatchNorm2d(fan_out),
                    nn.ReLU(),
                ]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
        self.features = nn.Sequential(*layers)
        self.head = Head(channels[-1], outputs)

    @staticmethod
    def inputs_of(shape: torch.Size) -> int:
        """The channels of images (channels, height, width)."""
        return shape[0]

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))


class LinearModel(Head):
    """A linear model that starts at zero, so that a convex problem has one known start.

    Args:
        inputs: number of values in one input
        outputs: number of outputs
        bias: whether there is a constant term
    """

    def __init__(self, inputs: Width, outputs: Width = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)

    def reset_parameters(self) -> None:
        for parameter in self.parameters():
            nn.init.zeros_(parameter)


def random_rotation(dimension: int, generator: np.random.RandomState) -> np.ndarray:
    """A rotation matrix, uniform on SO(dimension), by the subgroup algorithm.

    Diaconis & Shahshahani 1987, "The subgroup algorithm for generating uniform random variables";
    draws in the order of DeepOBS, https://github.com/fsschneider/DeepOBS.

    Args:
        dimension: of the space, at least 2
        generator: to draw from
    """
    angle = 2 * math.pi * generator.uniform()
    cosine, sine = math.cos(angle), math.sin(angle)
    rotation = np.array([[cosine, sine], [-sine, cosine]])
    for size in range(3, dimension + 1):
        # Uniform on the sphere; the reflection takes the first axis there.
        point = generator.normal(size=size)
        axis = -point / np.linalg.norm(point)
        axis[0] += 1
        axis /= np.linalg.norm(axis)
        larger = np.eye(size)
        larger[1:, 1:] = rotation
        rotation = larger - 2 * np.outer(axis, axis @ larger)
    return -rotation  # each reflection has changed the determinant's sign


class QuadraticModel(nn.Module):
    """DeepOBS's noisy quadratic bowl: Schneider, Balles & Hennig 2019, problem quadratic_deep.

        output = 1/2 (theta - x)^T Q (theta - x)

    theta is trained from 1. Q is fixed: 90 % of its eigenvalues are U(0, 1), the rest U(30, 60), in
    a random rotation. It is positive definite, so that the mean absolute error against targets of 0
    is the problem's loss. https://openreview.net/forum?id=rJg6ssC5Y7

    Args:
        dimension: of theta and x
        seed: of Q
    """

    def __init__(self, dimension: PositiveInt = 100, seed: NonNegativeInt = 42) -> None:
        super().__init__()
        generator = np.random.RandomState(seed)
        small = dimension * 9 // 10
        eigenvalues = np.concatenate(
            [generator.uniform(0, 1, small), generator.uniform(30, 60, dimension - small)]
        )
        rotation = random_rotation(dimension, generator)
        matrix = torch.from_numpy(rotation.T * eigenvalues @ rotation)
        self.theta = nn.Parameter(torch.ones(dimension))
        # Made again from the seed, so that no checkpoint needs it.
        self.register_buffer("matrix", matrix.to(self.theta.dtype), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        error = self.theta - inputs
        return 0.5 * (error @ self.matrix * error).sum(-1, keepdim=True)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within it a network is in evaluation mode; afterwards each of its parts is as it was."""
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, was_training in training.items():
            module.training = was_training


class Frozen(nn.Module):
    """A network that is only asked: evaluation mode, no gradient, not trained, not saved.

    The network is deliberately not registered as a submodule. So no `train()` can switch its
    batch-norm or dropout on, no optimizer, averaging or gradient reduction sees its parameters,
    and they are in no checkpoint. It moves to devices and types with its owner all the same.

    Args:
        network: the network to hold; its parameters stop requiring gradients
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.__dict__["network"] = network.requires_grad_(False).eval()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Frozen":
        self.network._apply(fn, recurse)
        return super()._apply(fn, recurse)

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)


def smallest_size(shape: list[int], halvings: int) -> int:
    """Height of the smallest feature map, in pixels: the image's, halved so many times.

    Args:
        shape: of the image, [channels, height, width]
        halvings: from the image to the smallest feature map

    Raises:
        ValueError: if the image is not square, or its height cannot be halved so often
    """
    if len(shape) != 3 or shape[1] != shape[2]:
        raise ValueError(f"shape {shape}: [channels, height, width] of a square image")
    if shape[1] % 2**halvings:
        raise ValueError(f"shape {shape} cannot be halved {halvings} times: give fewer channels")
    return shape[1] // 2**halvings
