"""A network whose layers hold integers, as it is written for ONNX Runtime."""

import copy
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from callbacks.fake_quantize.quantizers import WEIGHTED, Quantizers, Range
from callbacks.fake_quantize.rounding import INPUTS, input_step, nearest, weight_steps
from recipes.parts.lora import replace

LARGEST = 2**31 - 1  # integer of a bias


def folded(network: nn.Module, example: Tensor) -> nn.Module:
    """A copy in which each convolution does the batch-norm behind it, too.

    Its rounded weights have the same integers, as norms scale each output: steps alone differ.

    Args:
        network: in evaluation mode; it stays as it is
        example: of its inputs
    """
    network = copy.deepcopy(network).eval()
    for convolution, norm in normed(network, example):
        parts = network.get_submodule(convolution), network.get_submodule(norm)
        replace(network, convolution, fuse_conv_bn_eval(*parts))
        replace(network, norm, nn.Identity())
    return network


def normed(network: nn.Module, example: Tensor) -> list[tuple[str, str]]:
    """The names of convolutions and of the batch-norms that take what these give."""
    given: dict[str, Tensor] = {}
    pairs: list[tuple[str, str]] = []

    def gave(name: str, module: nn.Module, args: object, output: Tensor) -> None:
        given[name] = output

    def took(name: str, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        pairs.extend((source, name) for source, output in given.items() if output is args[0])

    handles = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(partial(gave, name)))
        if isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(partial(took, name)))
    with torch.no_grad():
        network(example)
    for handle in handles:
        handle.remove()
    return pairs


def calibrated(network: nn.Module, inputs: Iterable[Tensor]) -> dict[str, Range]:
    """The smallest and largest input of each layer, by its name.

    Args:
        network: in evaluation mode
        inputs: of training rows, as the network takes them, in batches
    """
    quantizers = Quantizers(network, {})
    quantizers.is_observing = True
    with torch.no_grad():
        for batch in inputs:
            network(batch)
    quantizers.remove()
    return quantizers.seen


@torch.library.custom_op("recipes::rounded", mutates_args=())
def rounded(inputs: Tensor, step: Tensor, zero: Tensor) -> Tensor:
    """S (q - Z) of inputs, q from 0 to 255: QuantizeLinear and DequantizeLinear of ONNX."""
    return ((inputs / step + zero).round().clamp(0, INPUTS) - zero) * step


@torch.library.custom_op("recipes::real", mutates_args=())
def real(integers: Tensor, steps: Tensor, zeros: Tensor) -> Tensor:
    """S (q - Z) of integers (outputs, ...), S and Z (outputs,): DequantizeLinear of ONNX."""
    shape = [-1] + [1] * (integers.ndim - 1)
    return (integers - zeros.view(shape)).to(steps.dtype) * steps.view(shape)


rounded.register_fake(lambda inputs, step, zero: torch.empty_like(inputs))
real.register_fake(lambda integers, steps, zeros: torch.empty_like(integers, dtype=steps.dtype))


class IntegerLayer(nn.Module):
    """A layer of rounded inputs, and of integers for its weight and bias.

    Biases are integers of 32 bits, with the steps of the products (Jacob et al. 2018, equation 11).

    Args:
        layer: linear or convolutional, or a pool, which has rounded inputs alone; it changes
        inputs: smallest and largest
    """

    def __init__(self, layer: nn.Module, inputs: Range) -> None:
        super().__init__()
        self.layer = layer
        step, zero = input_step(*inputs)
        self._keep(step=step, zero=zero.to(torch.uint8))
        if not isinstance(layer, WEIGHTED):
            return
        weight, bias = layer._parameters.pop("weight"), layer._parameters.pop("bias")
        layer.weight = layer.bias = None  # but while it is called
        steps = weight_steps(weight)
        whole = nearest(weight.detach() / steps.view([-1] + [1] * (weight.ndim - 1)))
        # ONNX Runtime computes in integers only where zero points are given.
        zeros = torch.zeros_like(steps, dtype=torch.int8)
        self._keep(weight=whole.to(torch.int8), steps=steps, zeros=zeros)
        if bias is None:
            return
        sums = step * steps
        terms = (bias.detach().double() / sums.double()).round().clamp(-LARGEST, LARGEST)
        self._keep(bias=terms.int(), sums=sums, bias_zeros=zeros.int())

    def _keep(self, **tensors: Tensor) -> None:
        for name, value in tensors.items():
            self.register_buffer(name, value)

    def forward(self, inputs: Tensor) -> Tensor:
        layer = self.layer
        if hasattr(self, "weight"):
            layer.weight = real(self.weight, self.steps, self.zeros)
        if hasattr(self, "bias"):
            layer.bias = real(self.bias, self.sums, self.bias_zeros)
        outputs = layer(rounded(inputs, self.step, self.zero))
        if hasattr(self, "weight"):
            layer.weight = layer.bias = None
        return outputs


def of_integers(network: nn.Module, ranges: dict[str, Range]) -> nn.Module:
    """Gives the layers of a network integers, in place; those without a range stay as they are.

    Args:
        network: in evaluation mode, with no norms behind its convolutions, see `folded`
        ranges: of each layer's inputs, by name

    Raises:
        ValueError: if no layer has a range
    """
    known = dict(network.named_modules())
    for name, inputs in ranges.items():
        if name in known and name:
            replace(network, name, IntegerLayer(known[name], inputs))
    if "" in ranges:
        return IntegerLayer(network, ranges[""])
    return network


def translations() -> dict[Callable, Callable]:
    """How the two operators are written."""
    from onnxscript import opset18 as op

    def write_rounded(inputs, step, zero):  # noqa: ANN001, ANN202 - values of a graph
        return op.DequantizeLinear(op.QuantizeLinear(inputs, step, zero), step, zero)

    def write_real(integers, steps, zeros):  # noqa: ANN001, ANN202
        return op.DequantizeLinear(integers, steps, zeros, axis=0)

    ops = torch.ops.recipes
    return {ops.rounded.default: write_rounded, ops.real.default: write_real}
