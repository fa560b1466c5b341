"""One optimizer step for many members, with a learning rate each: stock optimizers, batched."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from callbacks.schedules import Schedule
from recipes.study.members import Trial

# Each weight's update depends on its own gradients alone, and is the learning rate times what does
# not depend on it. So one stock optimizer updates all members, and each takes its share of it.
PROPORTIONAL = (
    optim.SGD,
    optim.Adagrad,
    optim.Adadelta,
    optim.RMSprop,
    optim.Adam,
    optim.AdamW,
    optim.Adamax,
    optim.NAdam,
    optim.RAdam,
)
# The first is true of these too, the second is not: they are batched with others of their rate.
ELEMENTWISE = (optim.Rprop, optim.ASGD)
# Of any other optimizer, members are trained one by one: L-BFGS's line search, Muon's matrices,
# Adafactor's norms, or what is not known.

PROBE = [nn.Parameter(torch.zeros(1, 1))]  # a matrix, as Muon takes no others


def batching(optimizer: OptimizerCallable) -> str:
    """How members of an optimizer are trained: "together", "by rate" or "one by one"."""
    made = type(optimizer(PROBE))
    if made in PROPORTIONAL:
        return "together"
    return "by rate" if made in ELEMENTWISE else "one by one"


def views(vector: Tensor, shapes: Sequence[torch.Size]) -> list[nn.Parameter]:
    """A vector's parts as parameters of these shapes, in its memory."""
    parts = vector.detach().split([shape.numel() for shape in shapes])
    return [nn.Parameter(p.view(shape)) for p, shape in zip(parts, shapes, strict=True)]


def finite(rows: Tensor) -> Tensor:
    """Whether each row is finite, (rows,); ten times as fast as `isfinite`."""
    return rows.mul(0).sum(1) == 0


class Part:
    """Members that one stock optimizer updates.

    A proportional optimizer runs at one rate r, the largest of its members', and member k moves by
    its share of the update:

        w_k <- w_k + r_k / r (stock(w_k) - w_k)

    Args:
        trials: of the members
        weights: their parameters, (members, size)
        shapes: of a network's parameters, for optimizers that treat each by itself
        make: the stock optimizer

    Raises:
        ValueError: if the optimizer has no weight decay and a trial wants one
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        weights: nn.Parameter,
        shapes: Sequence[torch.Size],
        make: OptimizerCallable,
    ) -> None:
        self.name, self.weights = trials[0].optimizer, weights
        options = {"dtype": weights.dtype, "device": weights.device}
        self.rates = torch.tensor([trial.learning_rate for trial in trials], **options)
        self.decays: Tensor | None = None
        self.labels = [trial.schedule for trial in trials]
        self.multipliers = torch.ones_like(self.rates)
        self.alive = torch.ones_like(self.rates, dtype=torch.bool)
        own, decay = {}, trials[0].weight_decay
        if decay is not None:
            if "weight_decay" not in make(PROBE).defaults:
                raise ValueError(f"--model.search.weight_decay: {self.name} has none")
            own = {"weight_decay": decay}
        mode = batching(make)
        self.proportional = mode == "together"
        # Of one member: its parameters as the network has them, in the same memory.
        self.views = views(weights[0], shapes) if mode == "one by one" else None
        if self.proportional and decay is not None:
            self.decays = torch.tensor([trial.weight_decay for trial in trials], **options)
            own = {"weight_decay": 0.0}
        self.stock = make(
            self.views or [weights], lr=max(trial.learning_rate for trial in trials), **own
        )
        defaults = self.stock.defaults
        self.decoupled = defaults.get("decoupled_weight_decay", isinstance(self.stock, optim.AdamW))
        self.needs_closure = isinstance(self.stock, optim.LBFGS)
        self.closure: Callable[[], Tensor] | None = None  # loss of these members, with gradients
        self.seconds = 0.0  # of the latest step

    def __len__(self) -> int:
        return len(self.weights)

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Updates the members, except those that would not be finite.

        Args:
            scale: of all rates, from a callback such as LRDecay
        """
        if not len(self):  # all have been dropped; its parameter group stays, for callbacks
            return
        start = time.perf_counter()
        weights, before = self.weights, self.weights.detach().clone()
        rates = self.rates * self.multipliers * scale
        if self.decays is not None and not self.decoupled and weights.grad is not None:
            weights.grad.addcmul_(self.decays.unsqueeze(1), weights)
        if not self.proportional:
            for group in self.stock.param_groups:
                group["lr"] = float(self.rates[0] * self.multipliers[0]) * scale
        self.share_gradient()
        with torch.enable_grad():
            self.stock.step(self.closure if self.needs_closure else None)
        if self.proportional:
            share = (rates / self.stock.param_groups[0]["lr"]).unsqueeze(1)
            torch.lerp(before, weights, share, out=weights.data)
        if self.decays is not None and self.decoupled:
            weights.addcmul_(before, (rates * self.decays).unsqueeze(1), value=-1)
        self.alive &= finite(weights)
        if self.some_may_be_lost():
            torch.where(self.alive.unsqueeze(1), weights, before, out=weights.data)
        self.seconds = time.perf_counter() - start

    def share_gradient(self) -> None:
        """Gives the views their parts of the gradient."""
        if self.views is not None and self.weights.grad is not None:
            shapes = [view.shape for view in self.views]
            gradients = views(self.weights.grad[0], shapes)
            for view, gradient in zip(self.views, gradients, strict=True):
                view.grad = gradient.data

    def schedule(self, schedules: Mapping[str, Schedule], batch: int) -> None:
        """Sets the rates' multipliers for a batch, by the labels of the members' schedules."""
        if schedules:
            values = [schedules[label](batch) for label in self.labels]
            self.multipliers = self.rates.new_tensor(values)

    def clip(self, limit: float, algorithm: str | None) -> None:
        """Clips each member's gradient, by value or by its own norm, as torch.nn.utils does."""
        gradient = self.weights.grad
        if gradient is None:
            return
        if algorithm == "value":
            gradient.clamp_(-limit, limit)
        else:
            norms = gradient.norm(dim=1, keepdim=True)
            gradient.mul_((limit / (norms + 1e-6)).clamp(max=1))

    def mask(self) -> None:
        """Takes members without a finite gradient out, for good."""
        gradient = self.weights.grad
        if gradient is not None:
            self.alive &= finite(gradient)
            if self.some_may_be_lost():
                gradient.masked_fill_(~self.alive.unsqueeze(1), 0)

    def some_may_be_lost(self) -> bool:
        """False if all members are known to be alive; only on a CPU knowing takes no waiting."""
        return self.alive.device.type != "cpu" or not bool(self.alive.all())

    def keep(self, members: Tensor) -> None:
        """Drops all members but some.

        Args:
            members: their numbers, in order
        """
        count = len(self)
        if len(members) == count:
            return
        self.weights.data, self.weights.grad = self.weights.data[members], None
        self.labels = [self.labels[i] for i in members.tolist()]
        for name in ("rates", "multipliers", "alive", "decays"):
            value = getattr(self, name)
            setattr(self, name, value if value is None else value[members])
        for state in self.stock.state.values():
            for key, value in state.items():
                if isinstance(value, Tensor) and value.ndim == 2 and len(value) == count:
                    state[key] = value[members]


def groups_of(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Parameter groups, one a part."""
    return [{"params": [part.weights], "name": part.name, "lr": 1.0} for part in parts]


class Together(Optimizer):
    """Steps the parts of a study as one optimizer, so that Lightning counts one step a batch.

    The rate of a parameter group multiplies those of its members; callbacks such as LRDecay act on
    it as on any other.

    Args:
        parts: what it steps
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__(groups_of(parts), {"lr": 1.0})
        self.parts = list(parts)

    def begin(self, parts: Sequence[Part]) -> None:
        """Steps other parts from now on."""
        self.parts, self.param_groups = list(parts), []
        for group in groups_of(parts):
            self.add_param_group(group)

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = closure() if closure else None
        for part, group in zip(self.parts, self.param_groups, strict=True):
            part.step(group["lr"])
        return loss

    def state_dict(self) -> dict[str, Any]:
        # A resumed study has no parts without members.
        parts = [part for part in self.parts if len(part)]
        state = super().state_dict()
        groups = zip(self.parts, state["param_groups"], strict=True)
        return {
            **state,
            "param_groups": [group for part, group in groups if len(part)],
            "parts": [part.stock.state_dict() for part in parts],
            "alive": [part.alive.clone() for part in parts],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: state_dict[k] for k in ("state", "param_groups")})
        saved = zip(self.parts, state_dict["parts"], state_dict["alive"], strict=True)
        for part, stock, alive in saved:
            part.stock.load_state_dict(stock)
            part.alive.copy_(alive)
