"""Networks that see a noisy example and its time: a small U-Net for images, an MLP for points.

Each maps (inputs (batch, ...), times (batch,) from 0 to 1, labels (batch,) or none) to numbers of
the inputs' shape. With `classes` a label of that number means that none is given.
"""

import math
from itertools import pairwise

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.parts.conditional import check_labels
from recipes.parts.embeddings import EmbeddingCallable
from recipes.parts.networks import Head, Width, check_layers, smallest_size

LONGEST = 10_000  # the waves' lengths are 2 pi to about 2 pi times this, in steps of a thousand
GROUPS = 8  # of normalised channels, where their number can be divided so


def waves(times: Tensor, count: int) -> Tensor:
    """Sines and cosines of 1,000 t: Vaswani et al. 2017, section 3.5, as Ho et al. 2020 use them.

    Args:
        times: from 0 to 1, (batch,)
        count: of numbers for each, even

    Returns:
        (batch, count), float32 or finer
    """
    numbers = torch.arange(count // 2, device=times.device, dtype=torch.float32)
    angles = 1000 * times.unsqueeze(1) * torch.exp(-math.log(LONGEST) * numbers / (count // 2))
    return torch.cat([angles.sin(), angles.cos()], 1)


class Conditioning(nn.Module):
    """What the layers are told of time, and of the label with classes: (batch, width).

    Args:
        width: of the vector
        classes: number of labels; None: times alone
    """

    def __init__(self, width: int, classes: int | None) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.embedding = nn.Embedding(classes + 1, width) if classes else None

    def forward(self, times: Tensor, labels: Tensor | None) -> Tensor:
        check_labels(self.embedding, labels)
        first = self.layers[0].weight
        found = self.layers(waves(times, self.width).to(first.dtype))
        return F.silu(found if labels is None else found + self.embedding(labels))


class ResidualBlock(nn.Module):
    """x plus two 3x3 convolutions of it; what is given scales and shifts the channels between.

    Ho et al. 2020, appendix B; scale and shift: Dhariwal & Nichol 2021, section 4.3,
    https://arxiv.org/abs/2105.05233. It starts as the identity, or a 1x1 convolution.

    Args:
        inputs: channels of x
        outputs: channels of the result
        given: values of what is given
    """

    def __init__(self, inputs: int, outputs: int, given: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(GROUPS, inputs), inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.given = nn.Linear(given, 2 * outputs)
        self.second_norm = nn.GroupNorm(math.gcd(GROUPS, outputs), outputs)
        self.second = zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, inputs: Tensor, given: Tensor) -> Tensor:
        hidden = self.first(F.silu(self.norm(inputs)))
        scale, shift = self.given(given)[..., None, None].chunk(2, 1)
        hidden = self.second_norm(hidden) * (1 + scale) + shift
        return self.skip(inputs) + self.second(F.silu(hidden))


class Attention(nn.Module):
    """x plus self-attention of its pixels, with one head: Ho et al. 2020, appendix B.

    Args:
        channels: of x
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(GROUPS, channels), channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.output = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        pixels = self.query_key_value(self.norm(inputs)).flatten(2).transpose(1, 2)
        found = F.scaled_dot_product_attention(*pixels.unsqueeze(1).chunk(3, 3)).squeeze(1)
        return inputs + self.output(found.transpose(1, 2).unflatten(2, inputs.shape[2:]))


class UNet(nn.Module):
    """A small U-Net: residual blocks at each size, with attention at the smallest.

    After Ho et al. 2020, appendix B, with one block on each way where theirs has two.

    Args:
        shape: of an image, [channels, height, width], square
        channels: at each size, from the image's on; each size is half the one before
        classes: number of labels, for generation by class
    """

    def __init__(
        self,
        shape: list[Width],
        channels: list[PositiveInt] = [32, 64],  # noqa: B006 - never changed
        classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        check_layers("channels", channels)
        smallest_size(shape, len(channels) - 1)
        given, first, last = 4 * channels[0], channels[0], channels[-1]
        self.conditioning = Conditioning(given, classes)
        self.first = nn.Conv2d(shape[0], first, 3, padding=1)
        steps = list(pairwise([first, *channels]))
        self.down = nn.ModuleList(ResidualBlock(*step, given) for step in steps)
        self.shrink = nn.ModuleList(nn.Conv2d(c, c, 3, 2, 1) for c in channels[:-1])
        self.middle = nn.ModuleList(ResidualBlock(last, last, given) for _ in range(2))
        self.attention = Attention(last)
        # Each takes what the way down left at its size, too.
        self.up = nn.ModuleList(ResidualBlock(2 * c, to, given) for to, c in reversed(steps))
        self.enlarge = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for c in channels[-2::-1])
        self.norm = nn.GroupNorm(math.gcd(GROUPS, first), first)
        self.head = zeroed(nn.Conv2d(first, shape[0], 3, padding=1))

    def forward(self, inputs: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        given = self.conditioning(times, labels)
        hidden, kept = self.first(inputs), []
        for block, shrink in zip(self.down, [*self.shrink, nn.Identity()], strict=True):
            kept.append(block(hidden, given))
            hidden = shrink(kept[-1])
        hidden = self.attention(self.middle[0](hidden, given))
        hidden = self.middle[1](hidden, given)
        for block, enlarge in zip(self.up, [*self.enlarge, None], strict=True):
            hidden = block(torch.cat([hidden, kept.pop()], 1), given)
            if enlarge is not None:
                hidden = enlarge(F.interpolate(hidden, scale_factor=2.0))
        return self.head(F.silu(self.norm(hidden)))


class MLPBlock(nn.Module):
    """x plus two linear layers of it; what is given is added to the units between.

    Args:
        width: of x
        given: values of what is given
    """

    def __init__(self, width: int, given: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), zeroed(nn.Linear(width, width))
        self.given = nn.Linear(given, width, bias=False)

    def forward(self, inputs: Tensor, given: Tensor) -> Tensor:
        hidden = self.first(F.silu(inputs)) + self.given(given)
        return inputs + self.second(F.silu(hidden))


class ResidualMLP(nn.Module):
    """Residual blocks of linear layers, for points and rows of tables; other shapes are flattened.

    Args:
        shape: of an example, such as [2]
        width: of the blocks
        blocks: how many there are
        classes: number of labels, for generation by class
        embedding: of the values, for distributions that are narrow beside their range:
            PeriodicEmbedding, LinearEmbedding, or any class_path; null: none
    """

    def __init__(
        self,
        shape: list[Width],
        width: PositiveInt = 128,
        blocks: PositiveInt = 3,
        classes: PositiveInt | None = None,
        embedding: EmbeddingCallable | None = None,
    ) -> None:
        super().__init__()
        self.shape, values = shape, math.prod(shape)
        self.embedding = None if embedding is None else embedding(values)
        inputs = values if embedding is None else values + self.embedding.outputs
        self.conditioning = Conditioning(width + width % 2, classes)
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(MLPBlock(width, width + width % 2) for _ in range(blocks))
        self.head = zeroed(Head(width, values))

    def forward(self, inputs: Tensor, times: Tensor, labels: Tensor | None = None) -> Tensor:
        given, values = self.conditioning(times, labels), inputs.flatten(1)
        if self.embedding is not None:
            values = torch.cat([values, self.embedding(values)], 1)
        hidden = self.first(values)
        for block in self.blocks:
            hidden = block(hidden, given)
        return self.head(F.silu(hidden)).unflatten(1, self.shape)


def zeroed(layer: nn.Module) -> nn.Module:
    """A layer that starts at zero, in place."""
    for weight in layer.parameters():
        nn.init.zeros_(weight)
    return layer
