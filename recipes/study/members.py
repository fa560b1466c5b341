"""Members of a study, and their networks as one batched network."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parameters_to_vector

from recipes.parts.embedded import needs_inputs
from recipes.parts.networks import MLP, Head, NetworkCallable


@dataclass(frozen=True)
class Trial:
    """One configuration of the search; its members differ only in seed and split.

    Attributes:
        optimizer: label of its optimizer
        learning_rate: peak rate
        weight_decay: None leaves the optimizer's own
        schedule: label of its schedule, empty without one
        network: label of its network
        split: the only split that it is trained on; None: it is trained on all of the study's
    """

    optimizer: str
    learning_rate: float
    weight_decay: float | None = None
    schedule: str = ""
    network: str = ""
    split: int | None = None


@dataclass(frozen=True)
class Member:
    """One training run.

    Attributes:
        trial: its configuration
        seed: of its initialisation and of the order of its batches
        split: of the data that it is trained on
    """

    trial: Trial
    seed: int
    split: int


Numbered = tuple[int, Member]  # with its number in the round


class Networks(nn.Module):
    """Many networks of one shape, computed in one pass.

    A multilayer perceptron is a chain of `baddbmm`; any other network goes through `torch.vmap`,
    which takes about twice the time. Each member draws its own dropout masks.

    Args:
        make: the network of one member

    Raises:
        ValueError: if the network has batch-norm, or buffers that its initialisation draws
    """

    def __init__(self, make: NetworkCallable) -> None:
        super().__init__()
        self.make = make
        template = self.made(0)
        if any(isinstance(module, _BatchNorm) for module in template.modules()):
            raise ValueError("--model.network: batch-norm keeps statistics that cannot be batched")
        if needs_inputs(template):
            raise ValueError(
                "--model.network.embedding: each split of a study has other quantiles; of those "
                "that need none, PeriodicEmbedding"
            )
        self._own_buffers(template)
        self.shapes = {name: p.shape for name, p in template.named_parameters()}
        self.sizes = [shape.numel() for shape in self.shapes.values()]
        # Not registered, and without memory: the members' parameters stand in for its own.
        self.__dict__["template"] = template.to("meta")

    def made(self, seed: int) -> nn.Module:
        """A member's network as `fit --seed_everything` makes it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.make()

    def _own_buffers(self, template: nn.Module) -> None:
        others = dict(self.made(1).named_buffers())
        self.buffer_names = []
        for number, (name, buffer) in enumerate(template.named_buffers()):
            if not torch.equal(buffer, others[name]):
                raise ValueError(f"--model.network: the buffer {name} differs between members")
            self.register_buffer(f"buffer_{number}", buffer, persistent=False)
            self.buffer_names.append(name)

    def initial(self, seeds: Sequence[int]) -> Tensor:
        """The initial parameters of members with these seeds, (members, size)."""
        vectors = {seed: parameters_to_vector(self.made(seed).parameters()) for seed in set(seeds)}
        return torch.stack([vectors[seed] for seed in seeds]).detach()

    def _buffer_items(self) -> list[tuple[str, Tensor]]:
        return [(n, getattr(self, f"buffer_{i}")) for i, n in enumerate(self.buffer_names)]

    def forward(self, parameters: Tensor, inputs: Tensor) -> Tensor:
        """Outputs (members, batch, n).

        Args:
            parameters: (members, size)
            inputs: (members, batch, ...)
        """
        if self.template.training != self.training:
            self.template.train(self.training)
        if type(self.template) is MLP and not hasattr(self.template, "embedding"):
            return self._perceptrons(parameters, inputs)
        buffers = dict(self._buffer_items())

        def one(vector: Tensor, inputs: Tensor) -> Tensor:
            views = (p.view(s) for p, s in zip(vector.split(self.sizes), self.shapes.values()))  # noqa: B905
            state = dict(zip(self.shapes, views, strict=True))
            return functional_call(self.template, state | buffers, (inputs,))

        return vmap(one, randomness="different")(parameters, inputs)

    def _perceptrons(self, parameters: Tensor, inputs: Tensor) -> Tensor:
        parts = iter(parameters.split(self.sizes, dim=1))
        x = inputs.flatten(2)
        for layer in [*self.template.features, self.template.head]:
            if isinstance(layer, nn.Flatten):
                continue
            if not isinstance(layer, nn.Linear):
                x = layer(x)
                continue
            weight = next(parts).view(-1, layer.out_features, layer.in_features)
            bias = next(parts).unsqueeze(1)
            if torch.is_autocast_enabled(x.device.type) and isinstance(layer, Head):
                # In its own type, as in recipes.parts.networks.
                with torch.autocast(x.device.type, enabled=False):
                    x = torch.baddbmm(bias, x.to(weight.dtype), weight.transpose(1, 2))
            else:
                x = torch.baddbmm(bias, x, weight.transpose(1, 2))
        return x
