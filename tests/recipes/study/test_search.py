"""What searches propose."""

import math

import numpy as np
import pytest

from recipes.study.bayes import Bayes
from recipes.study.search import Kind, Random


def test_bayes_learns_where_the_optimum_is():
    search = Bayes(rounds=6, trials=8, learning_rate=[1e-5, 10.0])
    tried, far = [], []
    for number in range(6):
        settings = search.suggest(Kind("", "SGD", ""), number, tried)
        assert settings == search.suggest(Kind("", "SGD", ""), number, tried), "a pure function"
        losses = [abs(math.log10(s.learning_rate) + 2) for s in settings]  # best at 0.01
        tried += list(zip(settings, losses, strict=True))
        far.append(sum(losses) / len(losses))
    assert sum(far[3:]) / 3 < 0.75 * far[0]


def test_random_is_log_uniform_and_the_same_for_all_optimizers():
    search = Random(2000, [1e-4, 1.0], [1e-6, 1e-2], seed=1)
    settings = search.suggest(Kind("", "SGD", ""), 0, [])
    assert settings == search.suggest(Kind("", "Adam", ""), 0, [])
    assert settings != Random(2000, [1e-4, 1.0], [1e-6, 1e-2], seed=2).suggest(
        Kind("", "SGD", ""), 0, []
    )
    for name, low in (("learning_rate", -4), ("weight_decay", -6)):
        logs = np.log10([getattr(s, name) for s in settings])
        assert logs.min() >= low and logs.max() <= low + 4
        assert np.histogram(logs, 4, (low, low + 4))[0] == pytest.approx([500] * 4, abs=80)
