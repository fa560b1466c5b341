"""The loss surface of a line's weight and bias, and the walks of optimizers on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from callbacks.schedules import Schedule
from datamodules.loading.joined import Rows
from recipes.study.members import Member
from recipes.study.record import first_reached
from recipes.study.table import Row, mean_std


@dataclass(frozen=True)
class Surface:
    """The mean squared error of weight * x + bias: a bowl above its lowest point p.

        loss(w) = lowest + (w - p)' H (w - p)

    Attributes:
        curvature: H, half the second derivative of the loss, (2, 2)
        minimum: p, the least-squares weight and bias, (2,)
        lowest: the loss there, in the squared unit of the target
    """

    curvature: Tensor
    minimum: Tensor
    lowest: float

    @classmethod
    def of(cls, rows: Rows) -> "Surface":
        """The surface of rows with one input each."""
        x, y = rows.inputs[:, 0], rows.targets
        away = x - x.mean()
        weight = (away * (y - y.mean())).sum() / away.square().sum()
        bias = y.mean() - weight * x.mean()
        lowest = float((weight * x + bias - y).square().mean())
        curvature = torch.stack([x.square().mean(), x.mean(), x.mean(), torch.ones_like(bias)])
        return cls(curvature.view(2, 2), torch.stack([weight, bias]), lowest)

    def above(self, weights: Tensor) -> Tensor:
        """The loss above its lowest value, (...), of weights and biases (..., 2)."""
        # By element: a matrix product rounds by where its numbers lie, in a resumed run otherwise.
        weight, bias = (weights - self.minimum).unbind(-1)
        (of_weight, of_both), (_, of_bias) = self.curvature.tolist()
        return of_weight * weight**2 + 2 * of_both * weight * bias + of_bias * bias**2


@dataclass(frozen=True)
class Walk:
    """Where an optimizer went at one rate and schedule, from the start on.

    Attributes:
        optimizer: its label
        schedule: label of the decay of its rate, empty without one
        rate: the peak of its learning rate
        batches: of each step
        weights: weight and bias at the start and after each step, (steps + 1, seeds, 2)
        above: the loss there above its lowest value, (steps + 1, seeds)
        rates: the learning rate of each step, (steps,)
    """

    optimizer: str
    schedule: str
    rate: float
    batches: int
    weights: Tensor
    above: Tensor
    rates: Tensor

    @property
    def end(self) -> float:
        """The mean loss at the end above its lowest value."""
        return float(self.above[-1].mean())

    def by_epoch(self, batches: int) -> tuple[Tensor, Tensor]:
        """The mean of `above` over the steps of each epoch that has any; epoch 0 is the start.

        Args:
            batches: of an epoch

        Returns:
            epochs (epochs + 1,), and means (epochs + 1, seeds)
        """
        done = torch.arange(len(self.above)) * self.batches
        epochs, places = ((done + batches - 1) // batches).unique(return_inverse=True)
        total = self.above.new_zeros(len(epochs), self.above.shape[1])
        return epochs, total.index_add_(0, places, self.above) / places.bincount().unsqueeze(1)


def walks(
    members: Sequence[Member],
    path: Tensor,
    surface: Surface,
    accumulate: Mapping[str, int],
    schedules: Mapping[str, Schedule],
) -> dict[tuple[str, str], Walk]:
    """The walk of each optimizer with each schedule; of several rates, that which ends lowest.

    Args:
        members: of the study
        path: their weights and biases at the start and after each batch, (batches + 1, members, 2)
        surface: that they walk on
        accumulate: label of an optimizer to the batches of each of its steps, if not 1
        schedules: label to multiplier of the rate in a batch
    """
    groups: dict[tuple[str, str, float], list[int]] = {}
    for number, member in enumerate(members):
        trial = member.trial
        groups.setdefault((trial.optimizer, trial.schedule, trial.learning_rate), []).append(number)
    found: dict[tuple[str, str], Walk] = {}
    for (optimizer, schedule, rate), numbers in groups.items():
        batches = accumulate.get(optimizer, 1)
        weights = path[::batches, numbers]
        # A step is taken in the last of its batches.
        times = range(batches - 1, len(path) - 1, batches)
        multipliers = [schedules[schedule](t) if schedules else 1.0 for t in times]
        rates = rate * torch.tensor(multipliers, dtype=torch.float64)
        above = surface.above(weights)
        walk = Walk(optimizer, schedule, rate, batches, weights, above, rates)
        best = found.get((optimizer, schedule))
        if best is None or walk.end < best.end or best.end != best.end:
            found[optimizer, schedule] = walk
    return found


def steps_table(walks: Sequence[Walk], surface: Surface, within: float, batches: int) -> list[Row]:
    """A row for each walk: what it took until the loss was within a share of its lowest value.

    And how far above that it was in the last epoch, on average over its steps.

    Args:
        walks: to tell of
        surface: that they went on
        within: the share
        batches: of an epoch
    """
    rows = []
    for walk in walks:
        reached = first_reached(walk.above, within * surface.lowest).tolist()
        steps = [step for step in reached if step >= 0]
        missed = len(reached) - len(steps)
        never = f"{missed} of {len(reached)} never" if missed else ""
        epochs = [step * walk.batches / batches for step in steps]
        last = walk.by_epoch(batches)[1][-1]
        rows.append(
            {
                "optimizer": walk.optimizer,
                "schedule": walk.schedule,
                "learning rate": f"{walk.rate:g}",
                "batches a step": walk.batches,
                f"steps to {100 * within:g} % above": " ".join([mean_std(steps, 3), never]).strip(),
                "epochs to it": mean_std(epochs, 3),
                "% above in the last": mean_std((100 * last / surface.lowest).tolist(), 2),
            }
        )
    return rows
