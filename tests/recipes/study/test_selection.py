"""Which trials are chosen and which go on, by the record of their metrics."""

import math

import torch

from recipes.study.members import Member, Trial
from recipes.study.record import Record
from recipes.study.selection import Selection
from recipes.study.table import at_the_edge


def test_what_overflows_scores_as_infinite():
    trials = [Trial("SGD", rate) for rate in (0.1, 0.2, 0.3)]
    record = Record([Member(trial, 0, 0) for trial in trials])
    values = {"val/rmse": torch.tensor([math.inf, math.nan, 2.0])}
    first = torch.ones(3, dtype=torch.float64)
    record.add(1, [0, 1, 2], values, torch.zeros(3, dtype=torch.bool), first)
    assert record.scores("rmse").tolist() == [math.inf, math.inf, 2.0]


def of_scores(scores, seeds=(0, 1), **values):
    """A record of one row: the scores of each trial's members, by optimizer, in order of seeds."""
    trials = [Trial(name, 0.1 * (i + 1)) for name, rows in scores.items() for i in range(len(rows))]
    record = Record([Member(trial, seed, seed) for trial in trials for seed in seeds])
    flat = [score for rows in scores.values() for row in rows for score in row]
    row = {"val/rmse": torch.tensor(flat), "train/loss": torch.tensor(flat), **values}
    first = torch.ones(len(flat), dtype=torch.float64)
    record.add(1, range(len(flat)), row, torch.zeros(len(flat), dtype=torch.bool), first)
    return record


def test_of_three_trials_the_best_two_survive_a_halving():
    scores = {"SGD": [(3.0, 3.0), (9.0, 0.0), (1.0, 4.0)], "Adam": [(math.nan, 1.0), (7.0, 7.0)]}
    record = of_scores(scores)
    over_splits, per_split = (Selection("rmse", choice, halving=2) for choice in (False, True))
    assert over_splits.survivors(record, range(10)) == [0, 1, 4, 5, 8, 9]
    # Each split by itself; a trial that has gone does not come back.
    assert per_split.survivors(record, range(10)) == [0, 1, 3, 4, 7, 8]
    assert over_splits.survivors(record, [0, 1, 4, 5, 8, 9]) == [4, 5, 8, 9]


def test_the_choice_is_of_all_rounds_and_of_finite_means():
    first = of_scores({"SGD": [(3.0, 3.0), (math.nan, 0.0)], "Adam": [(7.0, 1.0)]})
    second = of_scores({"SGD": [(4.0, 1.0)], "Adam": [(5.0, 5.0)]})
    found = Selection("rmse").choose([first, second])
    assert [(c.trial.optimizer, c.record, c.ids, c.score) for c in found] == [
        ("SGD", 1, (0, 1), 2.5),
        ("Adam", 0, (4, 5), 4.0),
    ]
    found = Selection("rmse", per_split=True).choose([first, second])
    assert [(c.trial.optimizer, c.split, c.record, c.ids, c.score) for c in found] == [
        ("SGD", 0, 0, (0,), 3.0),
        ("SGD", 1, 0, (3,), 0.0),
        ("Adam", 0, 1, (2,), 5.0),
        ("Adam", 1, 0, (5,), 1.0),
    ]


def test_diverged_is_a_loss_more_than_twice_the_first():
    record = of_scores({"SGD": [(1.9, 2.1), (0.5, 30.0)]})
    assert record.diverged.tolist() == [False, True, False, True]
    # Those that have been dropped are judged by the last that is known of them.
    first = torch.ones(2, dtype=torch.float64)
    row = {"val/rmse": torch.ones(2), "train/loss": torch.tensor([0.1, 0.1])}
    record.add(2, [0, 2], row, torch.tensor([False, True]), first)
    assert record.diverged.tolist() == [False, True, True, True]


def test_a_target_is_reached_in_a_row_or_never():
    record = of_scores({"SGD": [(5.0, 1.0)]})
    row = {"val/rmse": torch.tensor([2.0, 9.0]), "train/loss": torch.ones(2)}
    record.add(2, [0, 1], row, record.lost.clone(), record.first.clone())
    assert record.reached("rmse", 3.0).tolist() == [1, 0]
    assert record.reached("rmse", 2.0).tolist() == [1, 0]
    assert record.reached("rmse", 1.5).tolist() == [-1, 0]


def test_the_edge_is_that_of_three_or_more_rates():
    scores = {
        "SGD": [(3.0,), (2.0,), (1.0,)],
        "Adam": [(3.0,), (2.0,), (9.0,)],
        "two": [(1.0,)] * 2,
    }
    record = of_scores(scores, seeds=[0])
    assert at_the_edge([record], Selection("rmse").choose([record])) == ["SGD"]


def test_rungs_are_at_powers_of_the_share():
    def rung_epochs(epochs, halving, rungs):
        return Selection("rmse", False, halving, rungs).rung_epochs(epochs)

    assert rung_epochs(8, 2, 3) == {4, 2, 1}
    assert rung_epochs(10, 3, 2) == {4, 2}
    assert rung_epochs(1, 2, 3) == set()
    assert rung_epochs(math.inf, 1, 3) == set()
