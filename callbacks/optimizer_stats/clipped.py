"""Whether a step's gradients were clipped, told from as little of them as will do."""

from collections.abc import Callable
from typing import Protocol

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import LBFGS, Optimizer

from callbacks.gradient_clip import GradientClip
from callbacks.optimizers import has_gradient, parameters

FEW = 4_096  # elements; one parameter may have more


class Clipped(Protocol):
    """Follows one optimizer's steps.

    What tells is kept, and compared for many steps at once: between two steps even an operation on
    a single number takes 20 to 30 us, as the step has emptied the caches.

    Attributes:
        noted: of each step since the last count
    """

    noted: list

    def see(self) -> None:
        """To be called when gradients are complete and not yet clipped."""

    def note(self) -> None:
        """To be called after the step."""

    def count(self) -> Tensor:
        """How many steps since the last count were clipped: a scalar, on the device."""


class ByNorm:
    """By the norm that the only GradientClip has taken, so that none is taken again.

    Args:
        clip: by norm
        optimizer: whose gradients it clips
    """

    def __init__(self, clip: GradientClip, optimizer: Optimizer) -> None:
        self.clip, self.optimizer = clip, optimizer
        self.noted: list[Tensor] = []

    def see(self) -> None:
        """Nothing."""

    def note(self) -> None:
        """Keeps it."""
        self.noted.append(self.clip.norms[self.optimizer])

    def count(self) -> Tensor:
        """How many are above the limit."""
        found, self.noted = stacked(self.noted), []
        return (found > self.clip.limit).sum()


class ByChange:
    """By the gradients of some parameters, which clipping has made smaller or not.

    Args:
        some: parameters, whose gradients stand for all; without any, all are compared
        optimizer: whose gradients are clipped
    """

    def __init__(self, some: list[Tensor], optimizer: Optimizer) -> None:
        self.some, self.optimizer = some, optimizer
        self.noted: list[tuple[list[Tensor], list[Tensor]]] = []

    def see(self) -> None:
        """Takes their norms."""
        self.tensors = [p for p in self.some if has_gradient(p)]
        self.tensors = self.tensors or [p for p in parameters(self.optimizer) if has_gradient(p)]
        self.before = each_norm([p.grad for p in self.tensors])

    def note(self) -> None:
        """Takes them again."""
        self.noted.append((self.before, each_norm([p.grad for p in self.tensors])))

    def count(self) -> Tensor:
        """In how many steps one became smaller."""
        noted, self.noted = self.noted, []
        before = stacked([norm for norms, _ in noted for norm in norms])
        after = stacked([norm for _, norms in noted for norm in norms])
        smaller = (after < before * (1 - 1e-5)).split([len(norms) for norms, _ in noted])
        return torch.stack([step.any() for step in smaller]).sum()


class ByLimit:
    """By the size of all gradients, of the first evaluation in a step.

    Args:
        limits: for each algorithm, the lowest
        optimizer: whose gradients are clipped
    """

    def __init__(self, limits: dict[str, float], optimizer: Optimizer) -> None:
        self.limits, self.optimizer = limits, optimizer
        self.noted: list[Tensor] = []

    def see(self) -> None:
        """Compares."""
        sizes: dict[str, Callable] = {"norm": lambda g: norms(g).norm(), "value": largest}
        gradients = [p.grad for p in parameters(self.optimizer) if has_gradient(p)]
        above = [sizes[key](gradients) > limit for key, limit in self.limits.items()]
        self.found = torch.stack(above).any()

    def note(self) -> None:
        """Keeps what was found."""
        self.noted.append(self.found)

    def count(self) -> Tensor:
        """In how many it was above."""
        found, self.noted = self.noted, []
        return torch.stack(found).sum()


def clipped(trainer: Trainer, module: LightningModule, optimizer: Optimizer) -> Clipped | None:
    """The cheapest way to tell which steps of an optimizer are clipped; None if none are.

    GradientClip hands over its norm. Lightning's own clipping discards it, but scales all gradients
    alike: the smallest ones tell. What clips by value, or more than once in a step, is told by all
    gradients; what a module does in its `configure_gradient_clipping`, by all of them twice.
    """
    ours = [callback for callback in trainer.callbacks if isinstance(callback, GradientClip)]
    rules = [(clip.algorithm, clip.limit) for clip in ours]
    if trainer.gradient_clip_val:
        algorithm = trainer.gradient_clip_algorithm or "norm"
        rules.append((str(getattr(algorithm, "value", algorithm)), trainer.gradient_clip_val))
    if not rules:
        return None
    limits = {key: min(limit for k, limit in rules if k == key) for key, _ in rules}
    if isinstance(optimizer, LBFGS):
        return ByLimit(limits, optimizer)
    if trainer.gradient_clip_val and is_overridden("configure_gradient_clipping", module):
        return ByChange([], optimizer)
    if "value" in limits:
        return ByLimit(limits, optimizer)
    if len(rules) == len(ours) == 1:
        return ByNorm(ours[0], optimizer)
    return ByChange(smallest(parameters(optimizer)), optimizer)


def smallest(tensors: list[Tensor]) -> list[Tensor]:
    """The smallest parameters, as many as have FEW elements together, or one."""
    chosen, total = [], 0
    for tensor in sorted(tensors, key=torch.Tensor.numel):
        total += tensor.numel()
        if tensor.numel() and (total <= FEW or not chosen):
            chosen.append(tensor)
    return chosen


def each_norm(tensors: list[Tensor]) -> list[Tensor]:
    """The L2 norm of each of them, sharded if they are."""
    # Not under no_grad, which takes longer than what is saved here.
    return list(torch._foreach_norm([t.detach() if t.requires_grad else t for t in tensors]))


def stacked(numbers: list[Tensor]) -> Tensor:
    """Scalars as one vector, whatever process holds their shards."""
    vector = torch.stack(numbers)
    return vector.full_tensor() if isinstance(vector, DTensor) else vector


def norms(tensors: list[Tensor]) -> Tensor:
    """The L2 norm of each of them, (tensors,), whatever process holds their shards."""
    return stacked(each_norm(tensors))


def largest(tensors: list[Tensor]) -> Tensor:
    """The largest size of an element, whatever process holds it."""
    if any(isinstance(tensor, DTensor) for tensor in tensors):
        norm = torch.nn.utils.get_total_norm(tensors, torch.inf)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm
    # Faster than the norm, which takes the size of each element first.
    extremes = [torch.stack(tensor.aminmax()) for tensor in tensors if tensor.numel()]
    return torch.stack(extremes).abs().max()
