"""Activation checkpointing: memory for time in the backward pass.

Chen et al. 2016, "Training deep nets with sublinear memory cost", https://arxiv.org/abs/1604.06174
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class Checkpointed(nn.Sequential):
    """Layers in a row of which only every so many inputs are kept for the backward pass.

    Section 4.1: of n layers, sqrt(n) segments keep the least.
    """

    keeps_few = True

    def forward(self, inputs: Tensor) -> Tensor:
        layers = list(self)
        size = math.isqrt(len(layers) - 1) + 1
        for start in range(0, len(layers), size):
            segment = layers[start : start + size]
            inputs = checkpoint(
                run, segment, inputs, use_reentrant=False, context_fn=partial(contexts, segment)
            )
        return inputs


def run(layers: list[nn.Module], inputs: Tensor) -> Tensor:
    """What layers in a row make of inputs."""
    for layer in layers:
        inputs = layer(inputs)
    return inputs


def contexts(layers: list[nn.Module]) -> tuple[AbstractContextManager, AbstractContextManager]:
    """Of the first computation of a segment, and of its second one in the backward pass."""
    return nullcontext(), unobserved(layers)


@contextmanager
def unobserved(layers: list[nn.Module]) -> Iterator[None]:
    """Within it batch-norm counts batches into copies of its statistics: it has done so before."""
    norms = [m for layer in layers for m in layer.modules() if isinstance(m, _BatchNorm)]
    kept = [dict(norm._buffers) for norm in norms]
    for norm, buffers in zip(norms, kept, strict=True):
        norm._buffers.update({k: v if v is None else v.clone() for k, v in buffers.items()})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)


def checkpointed(layer: nn.Module) -> type[nn.Module]:
    """A layer's class, of which only its own inputs are kept for the backward pass."""
    kind = type(layer)

    def forward(self: nn.Module, *inputs: object, **options: object) -> object:
        again = {"use_reentrant": False, "context_fn": partial(contexts, [self])}
        return checkpoint(partial(kind.forward, self), *inputs, **again, **options)

    attributes = {"forward": forward, "keeps_few": True}
    return type(f"Checkpointed{kind.__name__}", (kind,), attributes)


def checkpoint_activations(network: nn.Module) -> nn.Module:
    """Has a network keep few activations; names and values stay.

    Of its outermost rows of layers only some inputs are kept, and of items in an nn.ModuleList,
    such as a Transformer's blocks, their own.

    Args:
        network: with an nn.Sequential of three or more layers, or an nn.ModuleList, somewhere in it

    Raises:
        ValueError: if it has none
    """
    rows = list(outermost(network))
    if not rows and not any(keeps_few(module) for module in network.modules()):
        said = "has no nn.Sequential of three layers, and no nn.ModuleList"
        raise ValueError(f"activation_checkpointing: {type(network).__name__} {said}")
    for row in rows:
        row.__class__ = Checkpointed if type(row) is nn.Sequential else checkpointed(row)
    return network


def outermost(module: nn.Module) -> Iterator[nn.Module]:
    """Rows of three or more layers that are in no other such row; of lists without one, the items.

    Not those that keep few activations already.
    """
    if keeps_few(module):
        return
    if type(module) is nn.Sequential and len(module) > 2:
        yield module
        return
    for child in module.children():
        rows = list(outermost(child))
        yield from rows
        if isinstance(module, nn.ModuleList) and not rows and not keeps_few(child):
            yield child


def keeps_few(module: nn.Module) -> bool:
    """Whether its activations are checkpointed already."""
    return getattr(module, "keeps_few", False)
