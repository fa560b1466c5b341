"""Optimizer steps, observed: what parameters, gradients and states are before and after.

Nothing but `transfer` waits for the device, or, where parameters are sharded, for other processes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import ASGD, LBFGS, Adafactor, Optimizer
from torch.utils.hooks import RemovableHandle

from callbacks.optimizer_stats.clipped import Clipped, norms
from callbacks.optimizer_stats.figures import Update, statistics
from callbacks.optimizer_stats.moments import FORMULAS, applied, is_decoupled
from callbacks.optimizers import has_gradient, parameters

SAMPLE = 4_096  # parameters of an optimizer that quantiles and cosines are taken of
COUNTED = 100  # steps, after which it is counted how many of them were clipped

Take = Callable[[Tensor], Tensor]


@dataclass
class Before:
    """One parameter before a step: what the step overwrites.

    Attributes:
        value: the parameter's
        eta: ASGD's step size
    """

    value: Tensor
    eta: Tensor | float | None = None


class Observer:
    """Follows one optimizer's steps, and measures the next one when it is asked to.

    Args:
        optimizer: to observe
        names: of the parameters that are also to be measured one by one
        groups: whether named groups are, too
        clipping: tells which steps are clipped, if any may be
        histograms: whether to take them
    """

    def __init__(
        self,
        optimizer: Optimizer,
        names: dict[Tensor, str],
        groups: bool,
        clipping: Clipped | None,
        histograms: bool,
    ) -> None:
        self.optimizer, self.names, self.groups = optimizer, names, groups
        self.clipping, self.histograms = clipping, histograms
        self.is_due = False  # whether the next step is to be measured
        self.found: dict[str, Tensor] = {}  # what was measured
        self.steps, self.clipped = 0, torch.tensor(0.0)  # since the last measurement
        self._samplers = samplers(parameters(optimizer))
        self._before: dict[Tensor, Before] = {}
        self._is_seen = False  # whether the gradients of the next step were
        self._unclipped: dict[Tensor, Tensor] = {}  # their norms, where they are measured
        self._handles: list[RemovableHandle] = []

    def attach(self) -> None:
        """Begins; to be called after all that changes weights after a step has been attached."""
        self._handles = [
            self.optimizer.register_step_pre_hook(self._on_step),
            self.optimizer.register_step_post_hook(self._on_stepped),
        ]

    def detach(self) -> None:
        """Ends."""
        for handle in self._handles:
            handle.remove()

    def forget_gradients(self) -> None:
        """To be called before a batch: in fp16, the step that the last were for may be skipped."""
        self._is_seen = False

    def see_gradients(self, scale: float) -> None:
        """To be called when gradients are complete and not yet clipped.

        Args:
            scale: that they have been multiplied by
        """
        # Of several evaluations in one step, LBFGS's, the first is that of where it starts.
        if self._is_seen or not (self.is_due or self.clipping):
            return
        self._is_seen = any(has_gradient(p) for p in parameters(self.optimizer))
        if self._is_seen and self.clipping:
            self.clipping.see()
        if self._is_seen and self.is_due:
            learning = [p for p in parameters(self.optimizer) if has_gradient(p)]
            sizes = norms([p.grad for p in learning]) / scale
            self._unclipped = dict(zip(learning, sizes, strict=True))

    def _on_step(self, *args: object) -> None:
        if not self.is_due:
            return
        self._before = before_step(self.optimizer)
        if len(self._samplers) < len(self._before):  # groups that were added while training
            self._samplers = samplers(parameters(self.optimizer))

    def _on_stepped(self, *args: object) -> None:
        if not self._is_seen:
            return
        self._is_seen = False
        if self.clipping:
            self.steps += 1
            self.clipping.note()
            if self.steps % COUNTED == 0:
                self.count_clipped()
        if self._before:
            self._measure()
            self._before, self._unclipped, self.is_due = {}, {}, False

    def count_clipped(self) -> None:
        """Brings `clipped` up to date."""
        if self.clipping and self.clipping.noted:
            self.clipped = self.clipped + self.clipping.count()

    def _measure(self) -> None:
        updates = after_step(self.optimizer, self._before, self._unclipped, self._samplers)
        if not updates:
            return
        self.found = statistics(list(updates.values()), self.histograms)
        for name, parts in self._parts(updates).items():
            part = statistics(parts, self.histograms)
            self.found |= {f"{key}/{name}": value for key, value in part.items()}
        if self.clipping:
            self.count_clipped()
            self.found["clipped"] = self.clipped / self.steps
            self.steps, self.clipped = 0, torch.zeros_like(self.clipped)
        if isinstance(self.optimizer, LBFGS):
            state = self.optimizer.state[parameters(self.optimizer)[0]]  # of all together
            self.found["function_evaluations"] = torch.tensor(float(state["func_evals"]))
            if "t" in state:  # not if the first gradient was zero
                self.found["step_length"] = torch.as_tensor(state["t"], dtype=torch.float32)

    def _parts(self, updates: dict[Tensor, Update]) -> dict[str, list[Update]]:
        """The updates of each group that has a name, and of each parameter that has one."""
        parts: dict[str, list[Update]] = {}
        for group in self.optimizer.param_groups if self.groups else ():
            own = [updates[p] for p in group["params"] if p in updates]
            if "name" in group and own:
                parts.setdefault(group["name"], []).extend(own)
        return parts | {self.names[p]: [u] for p, u in updates.items() if p in self.names}

    def transfer(self) -> dict[str, float | list[float]]:
        """What was measured, on the host: numbers, and lists of counts; the only wait for it."""
        found, self.found = self.found, {}
        numbers = {}
        for device in {value.device for value in found.values()}:  # the accelerator's, and the CPU
            there = {key: value for key, value in found.items() if value.device == device}
            values = torch.cat([value.flatten().float() for value in there.values()]).cpu()
            parts = values.split([value.numel() for value in there.values()])
            for (key, value), part in zip(there.items(), parts, strict=True):
                numbers[key] = part.tolist() if value.ndim else float(part)
        return numbers


def local(tensor: Tensor) -> Tensor:
    """This process's shard."""
    return tensor.detach().to_local() if isinstance(tensor, DTensor) else tensor.detach()


def samplers(tensors: list[Tensor]) -> dict[Tensor, Take]:
    """For each parameter, a function that takes the same sample of it and of its states.

    Of all parameters together SAMPLE elements, or all if they are fewer. They are drawn once, with
    a seed of their own: a stride would see only some columns of a matrix.
    """
    generator = torch.Generator().manual_seed(0)
    total = sum(local(tensor).numel() for tensor in tensors)

    def taking(shard: Tensor) -> Take:
        if total <= SAMPLE or not shard.numel():
            return lambda tensor: local(tensor).flatten().float()
        count = -(-SAMPLE * shard.numel() // total)
        index = torch.randint(shard.numel(), (count,), generator=generator).to(shard.device)
        return lambda tensor: local(tensor).take(index).float()

    return {tensor: taking(local(tensor)) for tensor in tensors}


def before_step(optimizer: Optimizer) -> dict[Tensor, Before]:
    """A copy of what the step about to be taken overwrites."""
    kept = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if not parameter.numel():
                continue
            kept[parameter] = Before(parameter.detach().clone())
            if isinstance(optimizer, ASGD):
                eta = optimizer.state.get(parameter, {}).get("eta")
                kept[parameter].eta = group["lr"] if eta is None else eta.clone()
    return kept


def after_step(
    optimizer: Optimizer,
    before: dict[Tensor, Before],
    unclipped: dict[Tensor, Tensor],
    samplers: dict[Tensor, Take],
) -> dict[Tensor, Update]:
    """What the step did to each parameter that has a gradient.

    Args:
        optimizer: that has just stepped
        before: from `before_step`
        unclipped: norms of the gradients before clipping
        samplers: from `samplers`
    """
    formula = FORMULAS.get(type(optimizer), applied)
    updates = {}
    for group in optimizer.param_groups:
        sign = -1 if group.get("maximize") else 1
        decay, decoupled = group.get("weight_decay", 0), is_decoupled(optimizer, group)
        for parameter in group["params"]:
            if not has_gradient(parameter) or not (parameter in before and parameter in unclipped):
                continue
            take, old = samplers[parameter], before[parameter]
            was, gradient = take(old.value), sign * take(parameter.grad)
            state = sampled_state(optimizer, parameter, take) | {"eta_before": old.eta}
            kept = was * (1 - group["lr"] * decay) if decoupled else was
            state["applied"] = kept - take(parameter)
            moments = formula(group, state, gradient if decoupled else gradient + decay * was)
            vectors = {"update": moments.update, "gradient": gradient}
            vectors |= {"first": moments.first, "second": moments.second}
            # A parameter without dimensions has moments without any.
            vectors = {key: v.reshape(-1) for key, v in vectors.items() if v is not None}
            is_sharded = isinstance(parameter, DTensor)
            updates[parameter] = Update((), is_sharded, vectors, dict(moments.phases))
    # In place, what it was before is not needed any more: a new copy takes longer than its norm.
    olds = [before[parameter].value for parameter in updates]
    values = [norms(olds)]
    torch._foreach_sub_(olds, [parameter.detach() for parameter in updates])
    values += [norms(olds), [unclipped[parameter] for parameter in updates]]
    for update, *three in zip(updates.values(), *values, strict=True):
        update.norms = tuple(three)
    return updates


def sampled_state(optimizer: Optimizer, parameter: Tensor, take: Take) -> dict[str, Tensor]:
    """An optimizer's state of one parameter: its numbers, and a sample of its moments."""
    state = optimizer.state.get(parameter, {})  # reading by [] would make an entry
    found = {}
    for key, value in state.items():
        if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim:
            found[key] = take(value)
        elif isinstance(value, (int, float)) or (isinstance(value, Tensor) and not value.ndim):
            found[key] = torch.as_tensor(value, dtype=torch.float32)
    if isinstance(optimizer, Adafactor) and "row_var" in state:
        # Shazeer & Stern 2018, algorithm 4: of a matrix only its mean rows and columns are kept.
        mean = state["row_var"].mean(-2, keepdim=True)
        found["variance"] = take(state["row_var"] @ state["col_var"] / mean)
    return found
