"""Rounds the weights and inputs of a network's layers while it runs, in place."""

from collections.abc import Callable, Iterator

from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.hooks import RemovableHandle

from callbacks.fake_quantize.rounding import (
    input_step,
    rounded_input,
    rounded_weight,
    weight_steps,
)

WEIGHTED = (nn.Linear, nn.Conv2d)  # layers of products, whose weights are rounded, too
# Between layers of products they take and give integers.
POOLS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)

Range = tuple[Tensor, Tensor]  # smallest and largest input


def layers_of(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers whose inputs are rounded, by name."""
    for name, module in network.named_modules():
        if isinstance(module, (*WEIGHTED, *POOLS)):
            yield name, module


class Quantizers:
    """The layers of a network with rounded inputs and weights, by hooks.

    Names of parameters stay, and so does what an optimizer, an average or a checkpoint sees of
    them: a rounded weight hides the parameter while its layer runs.

    Args:
        network: whose layers are rounded
        ranges: of the inputs of each layer, by name; a layer without one is not rounded

    Attributes:
        is_rounding: whether anything is rounded
        is_observing: whether the ranges of inputs are taken down
        seen: what was taken down, by name
    """

    def __init__(self, network: nn.Module, ranges: dict[str, Range]) -> None:
        self.ranges, self.seen = ranges, {}
        self.is_rounding = self.is_observing = False
        self.handles: list[RemovableHandle] = []
        for name, layer in layers_of(network):
            self.handles += self._hooked(name, layer)

    def _hooked(self, name: str, layer: nn.Module) -> list[RemovableHandle]:
        def before(layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            inputs, *others = args
            if self.is_observing:
                self._observe(name, inputs.detach())
            if not self.is_rounding or name not in self.ranges:
                return args
            if isinstance(layer, WEIGHTED):
                hide(layer, self.weight)
            return self.input(inputs, *self.ranges[name]), *others

        def after(layer: nn.Module, args: object, output: object) -> None:
            layer.__dict__.pop("weight", None)

        hooks = [layer.register_forward_pre_hook(before)]
        return [*hooks, layer.register_forward_hook(after, always_call=True)]

    def _observe(self, name: str, inputs: Tensor) -> None:
        low, high = inputs.float().aminmax()
        if name in self.seen:
            low, high = low.minimum(self.seen[name][0]), high.maximum(self.seen[name][1])
        self.seen[name] = low, high

    @staticmethod
    def weight(weight: Tensor) -> Tensor:
        """A weight, rounded."""
        return rounded_weight(weight, weight_steps(weight))

    @staticmethod
    def input(inputs: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Inputs, rounded."""
        return rounded_input(inputs.float(), *input_step(low, high)).to(inputs.dtype)

    def remove(self) -> None:
        """Lets the network compute as it did before."""
        for handle in self.handles:
            handle.remove()
        self.handles = []


def hide(layer: nn.Module, rounded: Callable[[Tensor], Tensor]) -> None:
    """Puts a rounded weight before a layer's parameter, which Python finds later.

    Raises:
        ValueError: if the weight is split over processes
    """
    weight = layer._parameters["weight"]
    if isinstance(weight, DTensor):
        raise ValueError("FakeQuantize: weights that tensor parallelism splits cannot be rounded")
    layer.__dict__["weight"] = rounded(weight)
