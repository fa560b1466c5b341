"""What the members have come to, epoch by epoch, and the choice among them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from recipes.study.members import Member, Trial

Metric = Literal["loss", "rmse", "mae", "nll"]


@dataclass
class Record:
    """One round.

    Attributes:
        members: all that it began with
        epochs: of its rows, trained epochs of the round
        series: name to rows, (members,) each; NaN for members that have been dropped
        lost: whether a member's loss, gradient or weights were not finite, (members,)
        first: loss of its first batch, (members,)
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
        """Appends a row: the values of the members of these ids, (ids,) each."""
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
        """The series that trials are compared by: of validation, or without any, of training."""
        return f"val/{metric}" if f"val/{metric}" in self.series else "train/loss"

    def scores(self, metric: str) -> Tensor:
        """The metric in the latest row, (members,); infinite for what was lost or dropped."""
        name = self.decides(metric)
        if name not in self.series:
            return torch.full((len(self.members),), math.inf, dtype=torch.float64)
        score = self.series[name][-1].nan_to_num(nan=math.inf, posinf=math.inf)
        return torch.where(self.lost, math.inf, score)

    def trials(self, per_split: bool) -> dict[tuple[Trial, int | None], list[int]]:
        """The ids of all members, by trial, and by split if that matters."""
        if per_split not in self._trials:
            found = self._trials.setdefault(per_split, {})
            for number, member in enumerate(self.members):
                key = (member.trial, member.split if per_split else None)
                found.setdefault(key, []).append(number)
        return self._trials[per_split]

    def means(self, metric: str, per_split: bool) -> list[float]:
        """Mean of the scores of each of the trials' members, in their order."""
        trials = self.trials(per_split)
        index = torch.empty(len(self.members), dtype=torch.long)
        for number, ids in enumerate(trials.values()):
            index[ids] = number
        total = torch.zeros(len(trials), dtype=torch.float64)
        total.index_add_(0, index, self.scores(metric))
        return (total / index.bincount(minlength=len(trials))).tolist()

    @property
    def diverged(self) -> Tensor:
        """Whether a member was lost, or its loss had at the end more than doubled, (members,)."""
        rows = torch.stack(self.series["train/loss"])
        trained = rows.isfinite().sum(0).clamp(min=1) - 1  # its latest row
        latest = rows.gather(0, trained.unsqueeze(0))[0]
        return self.lost | (latest > self.first + self.first.abs())

    def reached(self, metric: str, target: float) -> Tensor:
        """Number of the first row in which the metric is at most the target, -1 for never."""
        below = torch.stack(self.series[self.decides(metric)]) <= target
        return torch.where(below.any(0), below.int().argmax(0), -1)

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
        """What `state` has saved."""
        members = [Member(Trial(*row[:-2]), *row[-2:]) for row in state["members"]]
        series = {name: list(rows.unbind(0)) for name, rows in state["series"].items()}
        kept = (state[name].clone() for name in ("lost", "first"))
        return cls(members, list(state["epochs"]), series, *kept)


class Choice(NamedTuple):
    """The best trial of an optimizer, for all splits together or for one."""

    trial: Trial
    split: int | None
    record: int  # number of the round
    ids: tuple[int, ...]  # of its members
    score: float


def choose(records: Sequence[Record], metric: str, per_split: bool) -> list[Choice]:
    """The trial with the lowest mean metric over its members, for each optimizer.

    Args:
        records: all rounds
        metric: on validation data
        per_split: choose for each split by itself
    """
    best: dict[tuple[str, int | None], Choice] = {}
    for number, record in enumerate(records):
        trials, means = record.trials(per_split), record.means(metric, per_split)
        for ((trial, split), ids), score in zip(trials.items(), means, strict=True):
            key = (trial.optimizer, split)
            if key not in best or score < best[key].score:
                best[key] = Choice(trial, split, number, tuple(ids), score)
    return list(best.values())


def rung_epochs(epochs: float, halving: int, rungs: int) -> set[int]:
    """The epochs after which trials are dropped: ceil(epochs / halving^i) for i from 1 to rungs.

    Successive halving (Jamieson & Talwalkar 2016) where survivors train on, to lengths that grow
    geometrically (Li et al. 2018, "Hyperband", section 3).

    Args:
        epochs: of the round
        halving: how many times fewer trials go on; with 1, all do
        rungs: how often trials are dropped
    """
    if halving == 1:
        return set()
    return {math.ceil(epochs / halving**rung) for rung in range(1, rungs + 1)} - {epochs}


def survivors(record: Record, metric: str, per_split: bool, ids: Sequence[int], share: int) -> list:
    """The ids of the members whose trials are the best 1/share of their optimizer's, at least one.

    Args:
        record: of the round
        metric: that they compete by
        per_split: the trials of each split compete among themselves
        ids: of the members that still train
        share: how many times fewer trials go on
    """
    trials, means = record.trials(per_split), record.means(metric, per_split)
    training = set(ids)
    rivals: dict[tuple[str, int | None], list[tuple[float, list[int]]]] = {}
    for ((trial, split), members), mean in zip(trials.items(), means, strict=True):
        if training.issuperset(members):
            rivals.setdefault((trial.optimizer, split), []).append((mean, members))
    kept: list[int] = []
    for of_optimizer in rivals.values():
        best = sorted(of_optimizer, key=lambda item: item[0])[: -(-len(of_optimizer) // share)]
        kept += [i for _, members in best for i in members]
    return sorted(kept)
