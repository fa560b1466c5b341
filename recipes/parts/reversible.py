"""Reversible networks, whose memory does not grow with depth.

Gomez, Ren, Urtasun & Grosse 2017, "The reversible residual network: backpropagation without storing
activations", https://arxiv.org/abs/1707.04585
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.distributed.tensor import DTensor
from torch.nn.modules.dropout import _DropoutNd

from recipes.parts.activation_checkpointing import unobserved
from recipes.parts.networks import Head, Width


class ReversibleBlock(nn.Module):
    """Two residual functions of half the channels each, from whose output the input is computed.

        y1 = x1 + f(x2)     y2 = x2 + g(y1)       (equation 6)
        x2 = y2 - g(y1)     x1 = y1 - f(x2)       (equation 7)

    Args:
        f: maps half of the channels to as many, at equal other sizes; without dropout
        g: the same

    Raises:
        ValueError: if there is dropout, whose second computation would drop other units
    """

    def __init__(self, f: nn.Module, g: nn.Module) -> None:
        super().__init__()
        self.f, self.g = f, g
        if any(isinstance(module, _DropoutNd) for module in self.modules()):
            raise ValueError("a ReversibleBlock is computed twice: dropout would drop other units")

    def forward(self, inputs: Tensor) -> Tensor:
        x1, x2 = inputs.chunk(2, 1)
        y1 = x1 + self.f(x2)
        return torch.cat([y1, x2 + self.g(y1)], 1)

    def inverse(self, outputs: Tensor) -> Tensor:
        """The input of an output, (batch, channels, ...)."""
        y1, y2 = outputs.chunk(2, 1)
        x2 = y2 - self.g(y1)
        return torch.cat([y1 - self.f(x2), x2], 1)

    def backward(self, outputs: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The input, the gradients with respect to it and to the weights: algorithm 1.

        Args:
            outputs: of the block, (batch, channels, ...)
            gradient: with respect to them
        """
        y1, y2 = outputs.chunk(2, 1)
        dy1, dy2 = gradient.chunk(2, 1)
        added, dg, of_g = pulled_back(self.g, y1, dy2)
        x2, dx1 = y2 - added, dy1 + dg
        added, df, of_f = pulled_back(self.f, x2, dx1)
        x1, dx2 = y1 - added, dy2 + df
        return torch.cat([x1, x2], 1), torch.cat([dx1, dx2], 1), of_f + of_g


def pulled_back(
    function: nn.Module, inputs: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Computes a function again, and takes a gradient back through it.

    Args:
        function: the module
        inputs: of it
        gradient: with respect to its outputs

    Returns:
        its outputs, and the gradients with respect to its inputs and its weights
    """
    weights = [weight for weight in function.parameters() if weight.requires_grad]
    with torch.enable_grad(), unobserved([function]):
        inputs = inputs.detach().requires_grad_()
        outputs = function(inputs)
    first, *others = torch.autograd.grad(outputs, [inputs, *weights], gradient)
    return outputs.detach(), first, others


class Recomputed(torch.autograd.Function):
    """Reversible blocks in a row, of which the last output alone is kept."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, blocks: nn.Sequential, inputs: Tensor, *weights: Tensor
    ) -> Tensor:
        outputs = nn.Sequential.forward(blocks, inputs)  # without gradients: nothing is kept
        ctx.blocks = blocks
        ctx.save_for_backward(outputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (outputs,) = ctx.saved_tensors
        if any(isinstance(weight, DTensor) for weight in ctx.blocks.parameters()):
            raise ValueError(
                "--trainer.strategy: a reversible network needs its whole weights in the backward "
                "pass, where they are sharded: ddp, or --model.network.keep=true"
            )
        found: list[Tensor] = []
        for block in reversed(ctx.blocks):
            outputs, gradient, of_weights = block.backward(outputs, gradient)
            found = of_weights + found
        return None, gradient, *found


class Reversible(nn.Sequential):
    """Reversible blocks in a row: activations are computed again from the row's output.

    Takes at least 32 bits: in bfloat16 50 blocks do not get back to their input by far.

    Raises:
        ValueError: in 16 bits, while training
    """

    @torch.compiler.disable  # which has no way through a backward pass of ours
    def forward(self, inputs: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(inputs)
        is_cast = torch.is_autocast_enabled(inputs.device.type)
        if is_cast or inputs.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                "--trainer.precision: a reversible network computes its inputs again from its "
                "outputs, for which 16 bits are too few: 32-true, or --model.network.keep=true"
            )
        return Recomputed.apply(self, inputs, *self.trained())

    def trained(self) -> Iterator[nn.Parameter]:
        """The weights that are trained, block by block, in the order of the gradients."""
        return (weight for block in self for weight in block.parameters() if weight.requires_grad)


def residual(channels: int) -> nn.Sequential:
    """The residual function of pre-activation blocks, at equal sizes: section 3.1, after He et al.

    Args:
        channels: of its input and output
    """
    layers: list[nn.Module] = []
    for _ in range(2):
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        layers += [nn.BatchNorm2d(channels), nn.ReLU(), conv]
    return nn.Sequential(*layers)


class RevNet(nn.Module):
    """A reversible residual network for pictures: the memory of a stage is that of one block.

    Stages of reversible blocks, the first on the whole picture, each further one on half its size,
    to which a convolution of stride 2 leads that is not reversible, and is kept. With widths
    [32, 32, 64, 112] and 3 blocks it has the stages of the paper's RevNet-38, with 9 of RevNet-110.

    Args:
        inputs: channels of the picture
        outputs: number of classes
        widths: channels of the first convolution, then of each stage, even
        blocks: reversible blocks in each stage
        keep: keep activations as another network does; the same values in more memory, less time

    Raises:
        ValueError: if a width is odd, or there are fewer than two
    """

    def __init__(
        self,
        inputs: Width = 3,
        outputs: Width = 10,
        widths: Sequence[PositiveInt] = (32, 32, 64, 112),
        blocks: PositiveInt = 3,
        keep: bool = False,
    ) -> None:
        super().__init__()
        if len(widths) < 2 or any(width % 2 for width in widths):
            raise ValueError(f"widths={list(widths)}: two or more even numbers of channels")
        self.stem = nn.Conv2d(inputs, widths[0], 3, padding=1, bias=False)
        row = nn.Sequential if keep else Reversible
        stages: list[nn.Module] = []
        for number, (before, width) in enumerate(pairwise(widths)):
            stride = 2 if number else 1
            stages += [nn.Conv2d(before, width, 3, stride, padding=1, bias=False)]
            halves = [[residual(width // 2) for _ in "fg"] for _ in range(blocks)]
            stages += [row(*(ReversibleBlock(f, g) for f, g in halves))]
        self.stages = nn.ModuleList(stages)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.head = Head(widths[-1], outputs)

    @staticmethod
    def inputs_of(shape: torch.Size) -> int:
        """The channels of pictures (channels, height, width)."""
        return shape[0]

    @property
    def features(self) -> nn.Sequential:
        """What comes before the last layer: (batch, last width)."""
        end = self.norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        return nn.Sequential(self.stem, *self.stages, *end)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))
