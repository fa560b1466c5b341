"""The table of speeds: what is compared is equal, and a ratio is that of medians."""

import json
import math
from collections import Counter

import pytest

import default_callbacks
from beside import comparison, gans, languages, regressions, table
from beside.comparison import Comparison, Goal, machine, ratios, verdict
from beside.costs import Costs
from beside.everything import COMPARISONS

ROUNDS = [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 2.0}, {"a": 1.1, "b": 1.0}]


def test_a_ratio_is_that_of_the_medians():
    assert ratios(ROUNDS, Goal("a", "b", 0.5)) == (pytest.approx(0.55), 0.5, 1.5)
    assert ratios(ROUNDS, Goal("a", "", 2.0)) == (pytest.approx(1.1), 1.0, 3.0)


@pytest.mark.parametrize(
    ("ratio", "said"), [(0.5, "reached"), (0.49, "reached"), (0.75, "missed by 50 %")]
)
def test_a_goal_is_reached_or_missed(ratio, said):
    assert verdict(ratio, Goal("a", "b", 0.5)) == said


def test_other_mathematics_are_not_compared():
    def of(apart):
        return Comparison("work", {}, [], {"b": lambda: apart}, tolerance=1e-6).proved()

    assert of(1e-7) == {"b": 1e-7}
    for apart in (1e-5, math.nan):
        with pytest.raises(ValueError, match="work: b: weights are"):
            of(apart)


def test_sides_take_turns_there_and_back():
    taken = []
    sides = {name: lambda name=name: taken.append(name) or float(ord(name)) for name in "ab"}
    rounds = list(Comparison("work", sides, []).timed(3))
    assert taken == ["a", "b", "b", "a", "a", "b"]
    assert rounds == [{"a": 97.0, "b": 98.0}] * 3


def test_every_goal_is_of_sides_that_are_timed():
    for name, make in COMPARISONS.items():
        made = make()
        named = {side for goal in made.goals for side in (goal.side, goal.beside) if side}
        assert named <= made.sides.keys() and made.goals, name
        assert made.apart.keys() <= made.sides.keys(), name


def test_the_table_has_a_row_for_each_goal(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "FILE", tmp_path / "speed.json")
    monkeypatch.setattr(table, "PICTURE", tmp_path / "speed.png")
    assert table.compared() == [table.HEADER]
    sides = dict.fromkeys(COMPARISONS["regression"]().sides, 2.0) | {"recipes.regress": 5.2}
    table.FILE.write_text(
        json.dumps(
            {"regression": {"apart": {"plain loop": 1e-7}, "rounds": [sides], "machine": machine()}}
        )
    )
    _, first, second = table.compared()
    shown = ["recipes.regress", "plain loop", "1e-07", "≤ 1.3", "2.6", "2.6 to 2.6"]
    assert first[1:-1] == shown and second[3] == ""
    assert first[-1] == "missed by 100 %" and second[-1] == "reached"
    table.draw()
    assert table.PICTURE.stat().st_size > 5_000


def test_what_a_processor_has_no_instructions_for_is_not_timed(monkeypatch):
    monkeypatch.setattr(comparison, "LACKS_BF16", True)
    made = COMPARISONS["student"]()
    one = {name: lambda: 1.0 for name in made.sides}
    (found,) = Comparison(made.work, one, made.goals).timed(1)
    assert found.keys() == {name for name in made.sides if "bf16" not in name}
    *_, last = table.of_goals(made, {"apart": {}, "rounds": [found]})
    assert last[1:3] == ["recipes.classify, bf16", "plain loop, bf16"]
    assert last[5:] == ["", "", "not measured: the processor has no bfloat16"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "proof",
    [
        regressions.proof,
        lambda: gans.proof(gans.CASES["points 4x64"]),
        lambda: languages.proof("LSTM of 128"),
    ],
)
def test_a_recipe_and_a_plain_loop_end_with_the_same_weights(proof):
    assert proof() < 1e-6


def test_callbacks_cost_what_their_hooks_of_a_batch_take(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("beside.costs.time.thread_time", lambda: now[0])
    monkeypatch.setattr(Costs, "seconds", Counter())
    monkeypatch.setattr(Costs, "calls", Counter())
    costs, callback = Costs(), "[Callback]LRDecay{'a': 1.5}."
    for action, seconds in {
        f"{callback}on_train_batch_start": 1.0,
        f"{callback}on_train_batch_end": 2.0,
        f"{callback}on_fit_start": 4.0,  # not of a batch
        "[Strategy]SingleDeviceStrategy.training_step": 8.0,
    }.items():
        costs.start(action)
        now[0] += seconds
        costs.stop(action)
    assert costs.seconds == {"LRDecay": 3.0} and costs.calls == {"LRDecay": 2}


def test_costs_are_shares_of_a_step_and_together_reach_a_goal_or_not(monkeypatch, tmp_path):
    file = tmp_path / "costs.json"
    work = {
        "regression 10-10-1": {"step": 1000.0, "callbacks": {"A": 60.0, "B": 30.0}},
        "MNIST student": {"step": 10_000.0, "callbacks": {"A": 60.0, "B": 300.0}},
    }
    file.write_text(json.dumps({"work": work}))
    monkeypatch.setattr(default_callbacks, "FILE", file)
    _, *rows, together, goal = default_callbacks.costs()
    assert rows == [["B", "30.0", "3.00", "300.0", "3.00"], ["A", "60.0", "6.00", "60.0", "0.60"]]
    assert together == ["together", "90.0", "9.00", "360.0", "3.60"]
    assert goal == ["goal", "", "≤ 10: reached", "", "≤ 2: missed"]
