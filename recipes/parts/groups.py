"""Parameter groups: learning rates and weight decay by the names of parameters.

A recipe makes its optimizer by `make_optimizer`; one that splits its parameters itself where
`--model.groups` is not given asks `Groups.make`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from jsonargparse.typing import NonNegativeFloat, restricted_number_type
from lightning.pytorch.cli import OptimizerCallable
from torch import nn
from torch.optim import Optimizer

from recipes.parts.sharding import units
from recipes.parts.weight_files import WRAPPERS

OPTION = "--model.groups"
REST = "rest"  # the name of the parameters that no pattern matches
STILL = "no_decay"  # behind the name of a group without weight decay
NETWORK = "network"  # of a group: the network that it is of
NORMS = (
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.modules.batchnorm._NormBase,
    nn.LocalResponseNorm,
)

Decay = restricted_number_type("Decay", float, [(">", 0), ("<=", 1)])


def layer_rate(layer: int, layers: int, decay: float) -> float:
    """Layer-wise decay: xi^(L - l), what the rate of layer l is multiplied by, 0 to 1.

    Clark et al. 2020 (ELECTRA), appendix B, https://openreview.net/forum?id=r1xMH1BtvB, and the
    fine-tuning tables of Bao et al. 2022 (BEiT), https://openreview.net/forum?id=p-BhZSz59o4.

    Args:
        layer: l, from 0 at the input to L
        layers: L, of the last layer, the head, which keeps its rate
        decay: xi, above 0 to 1
    """
    return decay ** (layers - layer)


def make_optimizer(
    make: OptimizerCallable,
    groups: "Groups | None",
    only: str | None = None,
    /,
    **networks: nn.Module,
) -> Optimizer:
    """An optimizer, with parameter groups where there are any; arguments as `Groups.make`."""
    if groups is not None:
        return groups.make(make, only, **networks)
    chosen = [network for name, network in networks.items() if only in (None, name)]
    return make(nn.ModuleList(chosen).parameters())  # what two of them share, once


@dataclass
class Pattern:
    r"""The parameters of one pattern.

    Args:
        match: a layer, `head` or `blocks.3`; a pattern of names, `*.bias`; or a regular expression
            between slashes, `/blocks\.[0-5]\./`, which is searched for in the name
        rate: what the learning rate is multiplied by, 0 or more
        weight_decay: instead of the optimizer's
        name: of the group in logs and messages; by default the pattern
    """

    match: str
    rate: NonNegativeFloat = 1.0
    weight_decay: NonNegativeFloat | None = None
    name: str | None = None


@dataclass
class Groups:
    """Splits what an optimizer trains into groups of their own rate and weight decay.

    A parameter belongs to the first pattern that matches its name, or to the rest. Its name is the
    one in its network, `head.weight`; with the network's own before it, `student.head.weight`, it
    matches in that network alone. Biases and the weights of norms have no weight decay, and so are
    groups of their own, unless `decay_all`.

    Args:
        patterns: in the order in which they are tried
        layer_decay: xi, above 0 to 1: layer l of 0 to L has the rate times xi^(L - l)
        layers: the layers from the input to the output, as patterns, for layer_decay; by default
            the items of the network's lists of layers, and the layers before and after these
        decay_all: weight decay also of biases and norms
    """

    patterns: tuple[Pattern, ...] = ()
    layer_decay: Decay | None = None
    layers: list[str] | None = None
    decay_all: bool = False

    def make(
        self, make: OptimizerCallable, only: str | None = None, /, **networks: nn.Module
    ) -> Optimizer:
        """An optimizer of the groups.

        Args:
            make: makes an optimizer of a list of groups
            only: the network that it trains; by default all of them
            networks: by name

        Raises:
            ValueError: if a pattern matches nothing, or the optimizer has no groups
        """
        found = list(self.split(networks))
        self._check(networks)
        chosen = [group for group in found if only in (None, group[NETWORK])]
        try:
            optimizer = make(chosen)
        except ValueError as error:
            raise ValueError(f"{OPTION}: {error}") from error
        given = any(pattern.weight_decay is not None for pattern in self.patterns)
        if given and "weight_decay" not in optimizer.defaults:
            raise ValueError(f"{OPTION}: {type(optimizer).__name__} has no weight_decay")
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * group["rate"]
        return optimizer

    def split(self, networks: Mapping[str, nn.Module]) -> Iterator[dict[str, Any]]:
        """The groups of all networks, each with its name, network, rate and parameters."""
        for network, module in networks.items():
            layers = self._layers(network, module)
            vectors = set() if self.decay_all else set(undecayed(module))
            groups: dict[tuple[int, int, bool], list[nn.Parameter]] = {}
            for name, parameter in module.named_parameters():
                clean = WRAPPERS.sub("", name)
                key = (self._number(network, clean), layers.get(clean, 0), parameter in vectors)
                groups.setdefault(key, []).append(parameter)
            last = max(layers.values(), default=0)
            for (number, layer, is_still), parameters in sorted(groups.items(), key=lambda g: g[0]):
                yield {
                    "params": parameters,
                    **self._settings(network, len(networks), number, layer, last, is_still),
                }

    def _settings(
        self, network: str, networks: int, number: int, layer: int, last: int, is_still: bool
    ) -> dict[str, Any]:
        """What a group has beside its parameters."""
        pattern = [*self.patterns, Pattern("", name=REST)][number]
        parts = [network] if networks > 1 else []
        parts += [pattern.name or pattern.match] if self.patterns else []
        parts += [f"layer{layer}"] if self.layer_decay is not None else []
        parts += [STILL] if is_still else []
        rate = float(pattern.rate) * layer_rate(layer, last, float(self.layer_decay or 1))
        found = {"name": ".".join(parts) or REST, NETWORK: network, "rate": rate}
        if is_still:
            return found | {"weight_decay": 0.0}
        given = pattern.weight_decay
        return found if given is None else found | {"weight_decay": float(given)}

    def _number(self, network: str, name: str) -> int:
        """The number of a parameter's first pattern, or of the rest."""
        found = (n for n, p in enumerate(self.patterns) if is_named(p.match, name, network))
        return next(found, len(self.patterns))

    def _layers(self, network: str, module: nn.Module) -> dict[str, int]:
        """The layer of each parameter, by name; none without layer-wise decay."""
        if self.layer_decay is None:
            return {}
        names = [WRAPPERS.sub("", name) for name, _ in module.named_parameters()]
        if self.layers is None:
            return layers_of(module)
        return {
            name: next((n for n, p in enumerate(self.layers) if is_named(p, name, network)), -1)
            for name in names
        }

    def _check(self, networks: Mapping[str, nn.Module]) -> None:
        """Refuses a pattern that no parameter is of, and a parameter that no layer has."""
        every = [
            (n, WRAPPERS.sub("", k)) for n, m in networks.items() for k, _ in m.named_parameters()
        ]
        used = {self._number(network, name) for network, name in every}
        for number, pattern in enumerate(self.patterns):
            if number not in used:
                matched = any(is_named(pattern.match, name, network) for network, name in every)
                reason = (
                    "what it matches is an earlier pattern's" if matched else "no such parameter"
                )
                raise ValueError(f"{OPTION}: match={pattern.match}: {reason}")
        for pattern in self.layers or ():
            if not any(is_named(pattern, name, network) for network, name in every):
                raise ValueError(f"{OPTION}: layers={pattern}: no such parameter")
        for network, module in networks.items():
            for name, layer in self._layers(network, module).items():
                if layer < 0:
                    raise ValueError(f"{OPTION}: {name} is in none of the layers={self.layers}")


def is_named(pattern: str, name: str, network: str = "") -> bool:
    """Whether a pattern is a parameter's name, or that of a layer that it is in.

    Args:
        pattern: as `Pattern.match`
        name: in its network
        network: its name, which the pattern may begin with
    """
    names = [name, f"{network}.{name}"] if network else [name]
    if len(pattern) > 2 and pattern[0] == pattern[-1] == "/":
        return any(re.search(pattern[1:-1], each) for each in names)
    return any(fnmatchcase(n, pattern) or fnmatchcase(n, f"{pattern}.*") for n in names)


def undecayed(network: nn.Module) -> Iterable[nn.Parameter]:
    """Biases, weights of norms, and all other parameters of less than two dimensions."""
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            if parameter.ndim < 2 or isinstance(module, NORMS):
                yield parameter


def layers_of(network: nn.Module) -> dict[str, int]:
    """The layer of each parameter of a network, by name, from 0 at the input.

    A layer is an item of a list of layers, or a module beside the lists. One of vectors alone, as a
    norm in a list, belongs to the layer before it. Embeddings that follow each other, as of tokens
    and positions, are one layer: their outputs are added.
    """
    names = {parameter: WRAPPERS.sub("", name) for name, parameter in network.named_parameters()}
    items = [unit for unit in units(network) if unit is not network]
    inside = {parameter: number for number, i in enumerate(items) for parameter in i.parameters()}
    owners = {p: m for m in network.modules() for p in m.parameters(recurse=False)}
    found: dict[str, int] = {}
    layer, before = -1, None
    for parameter, name in names.items():
        owner = items[inside[parameter]] if parameter in inside else owners[parameter]
        is_added = isinstance(owner, nn.Embedding) and isinstance(before, nn.Embedding)
        has_matrix = any(p.ndim > 1 for p in owner.parameters())
        starts = owner is not before and has_matrix and not is_added
        layer, before = layer + starts, owner
        found[name] = max(layer, 0)
    return found
