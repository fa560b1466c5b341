"""Members that one stock optimizer updates, with a learning rate each."""

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn, optim

from callbacks.schedules import Schedule
from recipes.parts.convergence import counts, has_converged
from recipes.study.batching import PROBE, batching
from recipes.study.members import Trial

# Largest rate of a stock optimizer that members share: a higher one of one member would let the
# others' updates overflow before they take their small shares of them.
HIGHEST = 1e6


def views(vector: Tensor, shapes: Sequence[torch.Size]) -> list[nn.Parameter]:
    """A vector's parts as parameters of these shapes, in its memory."""
    parts = vector.detach().split([shape.numel() for shape in shapes])
    return [nn.Parameter(p.view(shape)) for p, shape in zip(parts, shapes, strict=True)]


def finite(rows: Tensor) -> Tensor:
    """Whether each row is finite, (rows,); ten times as fast as `isfinite`."""
    return rows.mul(0).sum(1) == 0


class Part:
    """Members that one stock optimizer updates.

    A proportional optimizer runs at the largest rate r of its members, up to 1e6, and member k
    takes its share of the update:

        w_k <- w_k + r_k / r (stock(w_k) - w_k)

    Args:
        trials: of the members
        weights: their parameters, (members, size)
        shapes: of a network's parameters, for optimizers that treat each parameter by itself
        make: the stock optimizer
        batches: whose mean gradient one step takes

    Raises:
        ValueError: if the optimizer has no weight decay and a trial wants one
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        weights: nn.Parameter,
        shapes: Sequence[torch.Size],
        make: OptimizerCallable,
        batches: int = 1,
    ) -> None:
        self.name, self.weights = trials[0].optimizer, weights
        rates = [trial.learning_rate for trial in trials]
        self.rates = torch.tensor(rates, dtype=weights.dtype, device=weights.device)
        self.labels = [trial.schedule for trial in trials]
        self.multipliers = torch.ones_like(self.rates)
        self.alive = torch.ones_like(self.rates, dtype=torch.bool)
        mode = batching(make)
        self.proportional = mode == "together"
        # The only member's parameters in the network's shapes, in the memory of `weights`.
        self.views = views(weights[0], shapes) if mode == "one by one" else None
        self.decays: Tensor | None = None  # of a proportional optimizer's members
        rate = min(max(rates), HIGHEST) if self.proportional else max(rates)
        self.stock = make(self.views or [weights], lr=rate, **self._stock_decay(trials, make))
        defaults = self.stock.defaults
        self.decoupled = defaults.get("decoupled_weight_decay", isinstance(self.stock, optim.AdamW))
        self.needs_closure = isinstance(self.stock, optim.LBFGS)
        self.closure: Callable[[], Tensor] | None = None  # loss of these members, with gradients
        self.converged: bool | None = None  # after the latest step, by L-BFGS
        self.seconds = 0.0  # of the latest step
        self.batches = batches
        self.gathered: Tensor | None = None  # sum of the gradients since the latest step
        self.waiting = 0  # how many these are

    def _stock_decay(self, trials: Sequence[Trial], make: OptimizerCallable) -> dict[str, float]:
        """The stock optimizer's weight decay: 0 where `step` decays each member by its own."""
        decay = trials[0].weight_decay
        if decay is None:
            return {}
        if "weight_decay" not in make(PROBE).defaults:
            raise ValueError(f"--model.search.weight_decay: {self.name} has none")
        if not self.proportional:
            return {"weight_decay": decay}
        self.decays = self.rates.new_tensor([trial.weight_decay for trial in trials])
        return {"weight_decay": 0.0}

    def __len__(self) -> int:
        return len(self.weights)

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Updates the members; one whose weights would not be finite stays where it is.

        Args:
            scale: multiplies all rates; a callback such as LRDecay sets it
        """
        # Of a part that was dropped, the parameter group stays, as callbacks know it.
        if not len(self) or self.waiting:
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
            self._step_stock()
        if self.proportional:
            share = (rates / self.stock.param_groups[0]["lr"]).unsqueeze(1)
            torch.lerp(before, weights, share, out=weights.data)
        if self.decays is not None and self.decoupled:
            weights.addcmul_(before, (rates * self.decays).unsqueeze(1), value=-1)
        self.alive &= finite(weights)
        if self.some_may_be_lost():
            torch.where(self.alive.unsqueeze(1), weights, before, out=weights.data)
        self.seconds = time.perf_counter() - start

    def _step_stock(self) -> None:
        if not isinstance(self.stock, optim.LBFGS):
            self.stock.step()
            return
        before = counts(self.stock)
        self.stock.step(self.closure)
        self.converged = has_converged(self.stock, before)

    def share_gradient(self) -> None:
        """Gives each view its part of the gradient of `weights`."""
        if self.views is not None and self.weights.grad is not None:
            shapes = [view.shape for view in self.views]
            gradients = views(self.weights.grad[0], shapes)
            for view, gradient in zip(self.views, gradients, strict=True):
                view.grad = gradient.data

    def schedule(self, schedules: Mapping[str, Schedule], batch: int) -> None:
        """Sets the members' multipliers of their rates for a batch.

        Args:
            schedules: label to a function of the batch's number
            batch: its number in the round
        """
        if schedules:
            values = [schedules[label](batch) for label in self.labels]
            self.multipliers = self.rates.new_tensor(values)

    def clip(self, limit: float, algorithm: str | None) -> None:
        """Clips each member's gradient as torch.nn.utils does for a network trained alone.

        Args:
            limit: of the absolute value of each entry, or of the norm of each member's gradient
            algorithm: value, or else norm
        """
        gradient = self.weights.grad
        if gradient is None:
            return
        if algorithm == "value":
            gradient.clamp_(-limit, limit)
        else:
            norms = gradient.norm(dim=1, keepdim=True)
            gradient.mul_((limit / (norms + 1e-6)).clamp(max=1))

    def gather(self) -> None:
        """Adds up the gradients of batches, and leaves their mean after the last one of a step."""
        gradient = self.weights.grad
        if self.batches == 1 or gradient is None:
            return
        self.gathered = gradient if self.gathered is None else self.gathered + gradient
        self.waiting = (self.waiting + 1) % self.batches
        self.weights.grad = None if self.waiting else self.gathered / self.batches
        if not self.waiting:
            self.gathered = None

    def mask(self) -> None:
        """Marks members without a finite gradient as lost, and sets their gradients to zero."""
        gradient = self.weights.grad
        if gradient is not None:
            self.alive &= finite(gradient)
            if self.some_may_be_lost():
                gradient.masked_fill_(~self.alive.unsqueeze(1), 0)

    def some_may_be_lost(self) -> bool:
        """Whether members may be lost. Always true on a GPU, where asking would wait for it."""
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
        for name in ("rates", "multipliers", "alive", "decays", "gathered"):
            value = getattr(self, name)
            setattr(self, name, value if value is None else value[members])
        for state in self.stock.state.values():
            for key, value in state.items():
                if isinstance(value, Tensor) and value.ndim == 2 and len(value) == count:
                    state[key] = value[members]
