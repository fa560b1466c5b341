"""Which trials are chosen, and which go on after a halving."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from recipes.study.members import Trial
from recipes.study.record import Record

Metric = Literal["loss", "rmse", "mae", "nll"]
Key = tuple[int, int]  # of a member: its round, and its number there


class Choice(NamedTuple):
    """The best trial of an optimizer, for all splits together or for one.

    Attributes:
        trial: that was chosen
        split: that it was chosen for, None for all
        record: number of its round
        ids: its members' numbers in the round
        score: mean of the metric over these members
    """

    trial: Trial
    split: int | None
    record: int
    ids: tuple[int, ...]
    score: float

    @property
    def keys(self) -> list[Key]:
        """The keys of its members."""
        return [(self.record, i) for i in self.ids]


def by_optimizer(choices: Sequence[Choice]) -> dict[str, list[Choice]]:
    """The choices of each optimizer: one, or one for each split."""
    found: dict[str, list[Choice]] = {}
    for choice in choices:
        found.setdefault(choice.trial.optimizer, []).append(choice)
    return found


@dataclass(frozen=True)
class Selection:
    """How the trials of an optimizer compete.

    Attributes:
        metric: that they are compared by, on validation data, or without such the training loss
        per_split: the trials of each split compete among themselves
        halving: one in how many trials goes on after a rung; with 1, all do
        rungs: how often trials are dropped
    """

    metric: Metric
    per_split: bool = False
    halving: int = 1
    rungs: int = 3

    def choose(self, records: Sequence[Record]) -> list[Choice]:
        """The trial with the lowest mean metric over its members, for each optimizer.

        Args:
            records: all rounds
        """
        best: dict[tuple[str, int | None], Choice] = {}
        for number, record in enumerate(records):
            trials = record.trials(self.per_split).items()
            means = record.means(self.metric, self.per_split)
            for ((trial, split), ids), score in zip(trials, means, strict=True):
                key = (trial.optimizer, split)
                if key not in best or score < best[key].score:
                    best[key] = Choice(trial, split, number, tuple(ids), score)
        return list(best.values())

    def rung_epochs(self, epochs: float) -> set[int]:
        """The epochs after which trials are dropped: ceil(epochs / halving^i), i from 1 to rungs.

        Successive halving (Jamieson & Talwalkar 2016) where survivors train on, to lengths that
        grow geometrically (Li et al. 2018, "Hyperband", section 3).

        Args:
            epochs: of the round
        """
        if self.halving == 1:
            return set()
        rungs = range(1, self.rungs + 1)
        return {math.ceil(epochs / self.halving**rung) for rung in rungs} - {epochs}

    def survivors(self, record: Record, ids: Sequence[int]) -> list[int]:
        """The members whose trials are the best 1/halving of their optimizer's, at least one trial.

        Args:
            record: of the round
            ids: numbers of the members that still train

        Returns:
            numbers of the members that go on
        """
        trials = record.trials(self.per_split).items()
        means, training = record.means(self.metric, self.per_split), set(ids)
        rivals: dict[tuple[str, int | None], list[tuple[float, list[int]]]] = {}
        for ((trial, split), members), mean in zip(trials, means, strict=True):
            if training.issuperset(members):
                rivals.setdefault((trial.optimizer, split), []).append((mean, members))
        kept: list[int] = []
        for competing in rivals.values():
            count = math.ceil(len(competing) / self.halving)
            best = sorted(competing, key=lambda item: item[0])[:count]
            kept += [i for _, members in best for i in members]
        return sorted(kept)
