"""Low-rank adaptation: a trained network whose weights stand still, and small ones beside them.

Hu et al. 2021, "LoRA", section 4.1, https://arxiv.org/abs/2106.09685

    h = W x + b + alpha / r  B A x

with W (out, in) as it was trained, A (r, in) and B (out, r), which starts at zero; of a
convolution, with W (out, in k k), as in the authors' https://github.com/microsoft/LoRA.

`peft` does the same, but renames a network's tensors, so that `--model.weights`, groups and exports
would each have to know both names, and leaves batch-norm's statistics moving. This keeps the names.
`recipes.parts.wrappers.lora` puts it around a network.
"""

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

from recipes.parts.groups import is_named
from recipes.parts.weight_files import WRAPPERS

ADAPTERS = (".lora_a", ".lora_b")  # what their names end with
TRAINED = "_lora_trained"  # an attribute of an adapted network: patterns of what is trained in full
# They use the weights of the linear layers in them without calling these.
CLOSED = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


class LoRALinear(nn.Linear):
    """A linear layer with an adapter; its weight and bias are the given layer's own.

    Args:
        layer: whose weight and bias stand still
        rank: r
        alpha: of the scale alpha / r
        dropout: share of the adapter's inputs that are dropped while training, from 0 to below 1
    """

    def __init__(self, layer: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        super().__init__(layer.in_features, layer.out_features, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        add_adapter(self, rank, alpha, dropout)

    def forward(self, input: Tensor) -> Tensor:
        """W x + b + alpha / r B A x: (..., out) of (..., in)."""
        low = F.linear(self.dropout(input), self.lora_a)
        return super().forward(input) + self.scale * F.linear(low, self.lora_b)

    def merged(self) -> nn.Linear:
        """The linear layer of the same outputs."""
        layer = nn.Linear(self.in_features, self.out_features, device="meta")
        layer.weight, layer.bias = merged_weight(self), self.bias
        return layer


class LoRAConv2d(nn.Conv2d):
    """A convolution with an adapter: one of r channels, and one of 1x1 behind it.

    Args:
        layer: whose weight and bias stand still, without groups
        rank: r
        alpha: of the scale alpha / r
        dropout: share of the adapter's inputs that are dropped while training, from 0 to below 1
    """

    def __init__(self, layer: nn.Conv2d, rank: int, alpha: float, dropout: float) -> None:
        options = ("stride", "padding", "dilation", "padding_mode")
        given = {name: getattr(layer, name) for name in options}
        sizes = (layer.in_channels, layer.out_channels, layer.kernel_size)
        super().__init__(*sizes, **given, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        add_adapter(self, rank, alpha, dropout)

    def forward(self, input: Tensor) -> Tensor:
        """W * x + b + alpha / r B A * x: (batch, out, height, width)."""
        first = self.lora_a.unflatten(1, self.weight.shape[1:])
        low = self._conv_forward(self.dropout(input), first, None)
        return super().forward(input) + self.scale * F.conv2d(low, self.lora_b[:, :, None, None])

    def merged(self) -> nn.Conv2d:
        """The convolution of the same outputs."""
        options = ("stride", "padding", "dilation", "padding_mode")
        given = {name: getattr(self, name) for name in options}
        sizes = (self.in_channels, self.out_channels, self.kernel_size)
        layer = nn.Conv2d(*sizes, **given, device="meta")
        layer.weight, layer.bias = merged_weight(self), self.bias
        return layer


def add_adapter(layer: nn.Module, rank: int, alpha: float, dropout: float) -> None:
    """Gives a layer A, B, their scale and dropout; arguments as `LoRALinear`."""
    weight = layer.weight
    inputs, like = weight[0].numel(), {"device": weight.device, "dtype": weight.dtype}
    layer.lora_a = nn.Parameter(torch.empty(rank, inputs, **like))
    layer.lora_b = nn.Parameter(torch.zeros(len(weight), rank, **like))
    if not weight.is_meta:
        nn.init.kaiming_uniform_(layer.lora_a, a=math.sqrt(5))  # as nn.Linear, and the authors
    layer.scale, layer.dropout = alpha / rank, nn.Dropout(dropout)


def added(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """W + alpha / r B A, in the shape and type of W."""
    change = scale * (b.double() @ a.double())
    return (weight.double() + change.view_as(weight)).to(weight.dtype)


@torch.no_grad()
def merged_weight(layer: nn.Module) -> nn.Parameter:
    """The weight of the layer without an adapter that computes the same."""
    return nn.Parameter(added(layer.weight, layer.lora_a, layer.lora_b, layer.scale))


ADAPTED = (LoRALinear, LoRAConv2d)
KINDS = {nn.Linear: LoRALinear, nn.Conv2d: LoRAConv2d}  # the layers, themselves, that it adapts


def adapt(
    network: nn.Module,
    targets: list[str],
    rank: int,
    alpha: float,
    dropout: float,
    trained: list[str],
) -> nn.Module:
    """Gives a network adapters, in place, and lets these and what is trained in full learn alone.

    Args:
        network: to adapt
        targets: patterns of layers that get one, as in `recipes.parts.groups`
        rank: of each
        alpha: of each
        dropout: of each
        trained: patterns of what is trained in full

    Raises:
        ValueError: if a pattern matches nothing
    """
    for pattern in trained:
        if not any(is_named(pattern, name) for name, _ in network.named_parameters()):
            raise ValueError(f"lora's trained={pattern}: the network has no such parameter")
    layers = adaptable(network, trained)
    for pattern in targets:
        if not any(is_named(pattern, name) for name in layers):
            known = ", ".join(layers) or "none at all"
            raise ValueError(f"lora's targets={pattern}: the layers that can have one are {known}")
    network.requires_grad_(False)
    for name, layer in layers.items():
        if any(is_named(pattern, name) for pattern in targets):
            replace(network, name, KINDS[type(layer)](layer, rank, alpha, dropout))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_trained(name, trained))
    for name, module in network.named_modules():
        if isinstance(module, _NormBase) and not any(is_named(each, name) for each in trained):
            module.register_forward_pre_hook(stand_still)
    setattr(network, TRAINED, trained)
    return network


def adaptable(network: nn.Module, trained: list[str]) -> dict[str, nn.Module]:
    """The layers that can have adapters, by name: called, and not trained in full."""
    inside = {each for m in network.modules() if isinstance(m, CLOSED) for each in m.modules()}
    return {
        name: module
        for name, module in network.named_modules()
        if name and type(module) in KINDS and module not in inside
        and getattr(module, "groups", 1) == 1
        and not any(is_named(pattern, name) for pattern in trained)
    }  # fmt: skip


def replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    """Puts a layer in the place of another one."""
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, layer)


def stand_still(module: nn.Module, inputs: object) -> None:
    """Before each pass of a norm: its statistics stay those of the weights around it.

    A hook, as anything may call `train()`, and Lightning warns of what is in evaluation mode early.
    """
    if module.training:
        module.training = False


def is_trained(name: str, trained: list[str]) -> bool:
    """Whether a tensor is an adapter's or of what is trained in full."""
    return name.endswith(ADAPTERS) or any(is_named(pattern, name) for pattern in trained)


def is_adapted(network: object) -> bool:
    """Whether a network has adapters."""
    return hasattr(network, TRAINED)


def learned(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of an adapted network that its training changed: the adapters' and the head's.

    Raises:
        ValueError: if the network has no adapters
    """
    if not is_adapted(network):
        raise ValueError(f"{type(network).__name__} has no adapters: recipes.parts.wrappers.lora")
    state = network.state_dict()
    return {name: v for name, v in state.items() if is_trained(name, getattr(network, TRAINED))}


def scales(network: nn.Module) -> dict[str, float]:
    """The scale alpha / r of each adapted layer, by its name."""
    return {k: m.scale for k, m in network.named_modules() if isinstance(m, ADAPTED)}


def merged(network: nn.Module) -> nn.Module:
    """The network without adapters that computes the same; of one that has none, itself."""
    if not is_adapted(network):
        return network
    network = copy.deepcopy(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, ADAPTED):
            replace(network, name, module.merged())
    delattr(network, TRAINED)
    return network


@torch.no_grad()
def merged_state(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the network without adapters; of one that has none, as they are.

    Args:
        network: whose tensors they are, or of other values
        state: whole tensors by name
    """
    found = dict(state)
    for name, module in network.named_modules():
        if isinstance(module, ADAPTED):
            layer = WRAPPERS.sub("", name)
            a, b = (found.pop(layer + adapter) for adapter in ADAPTERS)
            found[f"{layer}.weight"] = added(found[f"{layer}.weight"], a, b, module.scale)
    return found
