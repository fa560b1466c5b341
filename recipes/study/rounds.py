"""The rounds of a search: who trains now, what all members came to, and the best of them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recipes.study.members import Member, Numbered, Trial
from recipes.study.population import Population
from recipes.study.record import Record
from recipes.study.search import Kind, Search, Setting
from recipes.study.selection import Choice, Key, Selection, by_optimizer


class Finalist(NamedTuple):
    """A member that was chosen, as it was when its choice was made.

    Attributes:
        member: its definition
        weights: (size,), on the CPU
        noise: variance of its residuals of the standardised target on validation data, else NaN
    """

    member: Member
    weights: Tensor
    noise: float


class Rounds:
    """The present population, the records of all rounds, and the best members of earlier ones.

    Args:
        search: proposes the trials of each round
        kinds: that it is asked for, one after another
        streams: split and seed of each stream of the data; each trial is trained on all, or on
            those of the split that it is for
        selection: how trials compete
        populate: makes a population of numbered members
    """

    def __init__(
        self,
        search: Search,
        kinds: Sequence[Kind],
        streams: Iterable[tuple[int, int]],
        selection: Selection,
        populate: Callable[[Iterable[Numbered]], Population],
    ) -> None:
        self.search, self.kinds, self.streams = search, kinds, dict.fromkeys(streams)
        self.selection, self.populate = selection, populate
        self.records: list[Record] = []
        self.kept: dict[Key, Finalist] = {}  # the best of earlier rounds

    def divide(self, epochs: int | None) -> None:
        """Gives each round its share of a run.

        Args:
            epochs: of the run; None or -1 if its length is unknown
        """
        self.epochs = epochs // self.search.rounds if epochs and epochs > 0 else math.inf

    @property
    def period(self) -> int | None:
        """Epochs after which members, orders and schedules start anew; None for never."""
        return self.epochs if self.search.rounds > 1 else None

    @property
    def halves(self) -> bool:
        """Whether trials are dropped."""
        return self.selection.halving > 1

    def begin(self) -> Population:
        """Makes the members of the next round, by what the rounds before came to.

        Raises:
            ValueError: if a trial is for a split that the study lacks
        """
        if self.records:
            self.kept = self.best()
        trials = propose(self.search, self.kinds, self.records, self.selection.metric)
        splits = dict.fromkeys(split for split, _ in self.streams)
        if strangers := {trial.split for trial in trials}.difference([None, *splits]):
            raise ValueError(f"--model.splits={list(splits)} lacks {sorted(strangers)}")
        members = [
            Member(trial, seed, split)
            for trial in trials
            for split, seed in self.streams
            if trial.split in (None, split)
        ]
        self.records.append(Record(members))
        self.population = self.populate(enumerate(members))
        return self.population

    def halve(self) -> int:
        """Drops all but the best trials of each optimizer; returns how many members are left."""
        kept = self.selection.survivors(self.records[-1], self.population.ids)
        self.population.keep(kept)
        return len(kept)

    def add_row(self, values: Mapping[str, Tensor], batches: int) -> None:
        """Adds a row to the latest record.

        Args:
            values: evaluated metrics, (members,) each; those of training are added to them
            batches: of an epoch
        """
        population, progress = self.population, self.population.progress
        epoch, values = progress.batches / batches, {**values, **progress.end_row()}
        self.records[-1].add(epoch, population.ids, values, ~population.alive, progress.first)

    def choices(self) -> list[Choice]:
        """The best trial of each optimizer in all rounds."""
        return self.selection.choose(self.records)

    @property
    def score_keys(self) -> dict[str, str]:
        """Optimizer to the log key of its score."""
        labels = dict.fromkeys(kind.optimizer for kind in self.kinds)
        return {label: f"val/{self.selection.metric}/{label}" for label in labels}

    def latest_scores(self) -> dict[str, float]:
        """The score of each optimizer's best trial in the latest round, by log key.

        Where each split has a choice of its own, the mean of their scores.
        """
        chosen = by_optimizer(self.selection.choose(self.records[-1:]))
        return {
            self.score_keys[optimizer]: sum(choice.score for choice in own) / len(own)
            for optimizer, own in chosen.items()
        }

    def best(self) -> dict[Key, Finalist]:
        """The members of the present choices, without those whose score is not finite."""
        latest, found = len(self.records) - 1, {}
        for choice in self.choices():
            if math.isinf(choice.score):
                continue
            if choice.record < latest:
                found |= {key: self.kept[key] for key in choice.keys}
                continue
            record, weights = self.records[latest], self.population.weights_of(choice.ids)
            for i, vector in zip(choice.ids, weights, strict=True):
                found[latest, i] = Finalist(record.members[i], vector, record.latest("noise", i))
        return found

    def finalists(self) -> tuple[Population, Tensor]:
        """A population of the best members, and their noise, (members,).

        Raises:
            ValueError: if there are none
        """
        best = list(self.best().values())
        if not best:
            raise ValueError("no member has a finite loss: there is nothing to evaluate")
        population = self.populate(enumerate(finalist.member for finalist in best))
        population.set_weights({i: finalist.weights for i, finalist in enumerate(best)})
        noise = torch.tensor([best[i].noise for i in population.ids], dtype=torch.float64)
        return population, noise

    def state(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint, beside weights and optimizers."""
        return {
            "records": [record.state() for record in self.records],
            "kept": [[*key, best.weights, best.noise] for key, best in self.kept.items()],
            "progress": {"ids": self.population.ids, **self.population.progress.state()},
            "epochs": None if math.isinf(self.epochs) else self.epochs,
        }

    def restore(self, state: Mapping[str, Any]) -> Population:
        """Sets what `state` has saved; returns the population, with initial weights."""
        self.records = [Record.of_state(saved) for saved in state["records"]]
        self.kept = {
            (number, i): Finalist(self.records[number].members[i], weights, noise)
            for number, i, weights, noise in state["kept"]
        }
        members = self.records[-1].members
        self.population = self.populate((i, members[i]) for i in state["progress"]["ids"])
        self.population.progress.restore(state["progress"])
        return self.population


def propose(
    search: Search, kinds: Sequence[Kind], records: Sequence[Record], metric: str
) -> list[Trial]:
    """The trials of the next round.

    Args:
        search: asked for each kind by itself
        kinds: all that there are
        records: of the rounds before
        metric: that the search minimises
    """
    trials = []
    for kind in kinds:
        tried = [
            (Setting(t.learning_rate, t.weight_decay, t.split), score)
            for record in records
            for (t, _), score in zip(record.trials(False), record.means(metric, False), strict=True)
            if Kind(t.network, t.optimizer, t.schedule) == kind
        ]
        trials += [
            Trial(**setting._asdict(), **kind._asdict())
            for setting in search.suggest(kind, len(records), tried)
        ]
    return trials
