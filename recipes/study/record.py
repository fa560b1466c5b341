"""The metrics of a round's members, epoch by epoch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from recipes.study.members import Member, Trial


def first_reached(values: Tensor, target: float) -> Tensor:
    """Number of the first row whose value is at most the target, or -1: (members,).

    Args:
        values: (rows, members)
        target: to be reached
    """
    below = values <= target
    return torch.where(below.any(0), below.int().argmax(0), -1)


@dataclass
class Record:
    """The members of one round and their metrics, one row for each evaluation.

    Attributes:
        members: all that the round began with
        epochs: trained epochs of the round, for each row
        series: name to rows, (members,) each; NaN for members that were dropped
        lost: whether a member's loss, gradient or weights were not finite, (members,)
        first: loss of each member's first batch, (members,)
    """

    members: list[Member]
    epochs: list[float] = field(default_factory=list)
    series: dict[str, list[Tensor]] = field(default_factory=dict)
    lost: Tensor = field(default_factory=lambda: torch.empty(0))
    first: Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        self._trials: dict[bool, dict[tuple[Trial, int | None], list[int]]] = {}
        if not len(self.lost):
            self.lost = torch.zeros(len(self.members), dtype=torch.bool)
            self.first = torch.full((len(self.members),), math.nan, dtype=torch.float64)

    def add(
        self,
        epoch: float,
        ids: Sequence[int],
        values: dict[str, Tensor],
        lost: Tensor,
        first: Tensor,
    ) -> None:
        """Appends a row.

        Args:
            epoch: trained epochs of the round
            ids: numbers of the members that it is of
            values: name to value, (ids,) each
            lost: as in the attributes, (ids,)
            first: as in the attributes, (ids,)
        """
        index = torch.tensor(ids)
        self.lost[index], self.first[index] = lost, first
        self.epochs.append(epoch)
        for name, value in values.items():
            row = torch.full((len(self.members),), math.nan, dtype=torch.float64)
            row[index] = value.detach().cpu().double()
            self.series.setdefault(name, []).append(row)

    def latest(self, name: str, number: int) -> float:
        """A member's value in the latest row, NaN if there is none."""
        return float(self.series[name][-1][number]) if name in self.series else math.nan

    def decides(self, metric: str) -> str:
        """The series that trials are compared by; without validation it is the training loss."""
        return f"val/{metric}" if f"val/{metric}" in self.series else "train/loss"

    def scores(self, metric: str) -> Tensor:
        """The metric in the latest row, (members,); infinite for members lost or dropped."""
        name = self.decides(metric)
        if name not in self.series:
            return torch.full((len(self.members),), math.inf, dtype=torch.float64)
        score = self.series[name][-1].nan_to_num(nan=math.inf, posinf=math.inf)
        return torch.where(self.lost, math.inf, score)

    def trials(self, per_split: bool) -> dict[tuple[Trial, int | None], list[int]]:
        """The numbers of the members of each trial, or of each trial and split."""
        if per_split not in self._trials:
            found = self._trials.setdefault(per_split, {})
            for number, member in enumerate(self.members):
                key = (member.trial, member.split if per_split else None)
                found.setdefault(key, []).append(number)
        return self._trials[per_split]

    def means(self, metric: str, per_split: bool) -> list[float]:
        """The mean score of each trial's members, in the order of `trials`."""
        trials = self.trials(per_split)
        index = torch.empty(len(self.members), dtype=torch.long)
        for number, ids in enumerate(trials.values()):
            index[ids] = number
        total = torch.zeros(len(trials), dtype=torch.float64)
        total.index_add_(0, index, self.scores(metric))
        return (total / index.bincount(minlength=len(trials))).tolist()

    @property
    def diverged(self) -> Tensor:
        """Whether a member was lost, or its last loss is more than twice the first, (members,)."""
        rows = torch.stack(self.series["train/loss"])
        trained = rows.isfinite().sum(0).clamp(min=1) - 1  # its latest row
        latest = rows.gather(0, trained.unsqueeze(0))[0]
        return self.lost | (latest > self.first + self.first.abs())

    def reached(self, metric: str, target: float) -> Tensor:
        """Number of the first row in which the metric is at most the target, or -1, (members,)."""
        return first_reached(torch.stack(self.series[self.decides(metric)]), target)

    def state(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint."""
        return {
            "members": [[*vars(m.trial).values(), m.seed, m.split] for m in self.members],
            "epochs": list(self.epochs),
            "series": {name: torch.stack(rows) for name, rows in self.series.items()},
            "lost": self.lost.clone(),
            "first": self.first.clone(),
        }

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "Record":
        """A record from what `state` has saved."""
        members = [Member(Trial(*row[:-2]), *row[-2:]) for row in state["members"]]
        series = {name: list(rows.unbind(0)) for name, rows in state["series"].items()}
        kept = (state[name].clone() for name in ("lost", "first"))
        return cls(members, list(state["epochs"]), series, *kept)
