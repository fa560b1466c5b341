"""Of a network that gives several things at once, the one that a recipe trains: its logits."""

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

Output = int | str | None
OPTION = "--model.output"


def take_output(which: Output, *networks: nn.Module | None) -> None:
    """From now on networks give one part of their outputs, where these are a dict, tuple or object.

    Args:
        which: name, or number from 0; None where the output is one tensor
        networks: what gives a tensor stays as it is
    """
    for network in networks:
        if network is not None:
            network.register_forward_hook(partial(_replace, which=which))


def _replace(network: nn.Module, inputs: object, output: object, which: Output) -> Tensor:
    return output if isinstance(output, Tensor) else part(output, which)


def part(output: object, which: Output) -> Tensor:
    """One part of what a network gives.

    Args:
        output: a dict, tuple or list, or an object with attributes
        which: name, or number from 0

    Raises:
        ValueError: if there is no such part, or it is no tensor, with those that there are
    """
    if isinstance(output, Mapping):
        known = dict(output)
    elif isinstance(output, (tuple, list)):
        known = dict(enumerate(output))
        known |= {name: getattr(output, name) for name in getattr(output, "_fields", ())}
    else:
        known = dict(getattr(output, "__dict__", {}))
    tensors = {name: value for name, value in known.items() if isinstance(value, Tensor)}
    if which not in tensors:
        kind, names = type(output).__name__, ", ".join(map(str, tensors))
        raise ValueError(f"{OPTION}={which}: the network gives a {kind}, with the tensors {names}")
    return tensors[which]
