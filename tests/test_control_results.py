"""The table of reinforcement learning: interquartile means, and what is kept."""

import numpy as np
import pytest
from scipy.stats import trim_mean

import control


@pytest.mark.parametrize("shape", [(8, 1), (10, 3), (12, 2)])
def test_the_interquartile_mean_leaves_a_quarter_out_on_each_side(shape):
    scores = np.random.default_rng(0).normal(size=shape)
    if scores.size % 4 == 0:
        assert control.interquartile_mean(scores) == pytest.approx(
            trim_mean(scores.flatten(), 0.25)
        )
    repeated = np.repeat(scores, 4, axis=0)  # whose quarter is a whole number
    wanted = trim_mean(repeated.flatten(), 0.25)
    assert control.interquartile_mean(scores) == pytest.approx(wanted)
    scores[scores.argmax() // shape[1], scores.argmax() % shape[1]] = 1e9
    assert control.interquartile_mean(scores) < 10, "one run does not decide it"


def test_the_bootstrap_draws_runs_of_each_task_by_itself():
    scores = np.stack([np.full(10, 1.0), np.full(10, 3.0)], 1)
    assert control.interval(scores) == (2.0, 2.0), "else a draw could have one task alone"
    scores = np.random.default_rng(0).normal(size=(10, 1))
    low, high = control.interval(scores)
    assert low < control.interquartile_mean(scores) < high
    wider = control.interval(scores[:5])
    assert wider[1] - wider[0] > 0.5 * (high - low) > 0


def test_the_table_says_how_many_runs_it_is_of(monkeypatch):
    found = {"dqn CartPole": [{"return": value} for value in (480.0, 500.0)]}
    monkeypatch.setattr(control, "stored", lambda: found | {"dqn Acrobot": [{"return": -90.0}]})
    rows = {cells[0]: cells for cells in control.compared("dqn")}
    assert rows["CartPole"][1] == "490.0 ± 14.1" and rows["CartPole"][3] == "2"
    assert rows["Acrobot"][1:4] == ["-90.0", "", "1"]
    assert rows["MountainCar"][1] == "not run" and control.TOGETHER not in rows
