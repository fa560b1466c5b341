"""Low-rank adaptation: a trained network whose weights stand still, and small ones beside them.

Hu et al. 2021, "LoRA", section 4.1, https://arxiv.org/abs/2106.09685

    h = W x + b + alpha / r  B A x

with W (out, in) as it was trained, A (r, in) and B (out, r), which starts at zero. `peft` does the
same, but renames a network's tensors, so that `--model.weights`, groups and exports would each have
to know both names, and moves batch-norm's statistics; this keeps the names, and is a package less.
`recipes.parts.wrappers.lora` puts it around a network.
"""

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

from recipes.parts.groups import is_named

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
        like = {"device": layer.weight.device, "dtype": layer.weight.dtype}
        self.lora_a = nn.Parameter(torch.empty(rank, layer.in_features, **like))
        self.lora_b = nn.Parameter(torch.zeros(layer.out_features, rank, **like))
        if not self.lora_a.is_meta:
            nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))  # as nn.Linear, and the authors
        self.scale, self.dropout = alpha / rank, nn.Dropout(dropout)

    def forward(self, input: Tensor) -> Tensor:
        """W x + b + alpha / r B A x: (..., out) of (..., in)."""
        low = F.linear(self.dropout(input), self.lora_a)
        return super().forward(input) + self.scale * F.linear(low, self.lora_b)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The linear layer of the same outputs: W + alpha / r B A."""
        layer = nn.Linear(self.in_features, self.out_features, device="meta")
        change = self.scale * (self.lora_b.double() @ self.lora_a.double())
        layer.weight = nn.Parameter((self.weight.double() + change).to(self.weight.dtype))
        layer.bias = self.bias
        return layer


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
        targets: patterns of the linear layers that get one, as in `recipes.parts.groups`
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
            raise ValueError(f"lora's targets={pattern}: the linear layers are {known}")
    network.requires_grad_(False)
    for name, layer in layers.items():
        if any(is_named(pattern, name) for pattern in targets):
            replace(network, name, LoRALinear(layer, rank, alpha, dropout))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_trained(name, trained))
    for name, module in network.named_modules():
        if isinstance(module, _NormBase) and not any(is_named(each, name) for each in trained):
            module.register_forward_pre_hook(stand_still)
    setattr(network, TRAINED, trained)
    return network


def adaptable(network: nn.Module, trained: list[str]) -> dict[str, nn.Linear]:
    """The linear layers that can have adapters, by name: called, and not trained in full."""
    inside = {each for m in network.modules() if isinstance(m, CLOSED) for each in m.modules()}
    return {
        name: module
        for name, module in network.named_modules()
        if name and type(module) is nn.Linear and module not in inside
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


def learned(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of an adapted network that its training changed: the adapters' and the head's.

    Raises:
        ValueError: if the network has no adapters
    """
    if not hasattr(network, TRAINED):
        raise ValueError(f"{type(network).__name__} has no adapters: recipes.parts.wrappers.lora")
    state = network.state_dict()
    return {name: v for name, v in state.items() if is_trained(name, getattr(network, TRAINED))}


def merged(network: nn.Module) -> nn.Module:
    """The network without adapters that computes the same; of one that has none, itself."""
    if not hasattr(network, TRAINED):
        return network
    network = copy.deepcopy(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, LoRALinear):
            replace(network, name, module.merged())
    delattr(network, TRAINED)
    return network
