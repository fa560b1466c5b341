"""Which of many values a test takes in the default suite; the slow suite takes all."""

import pytest


def slow(*values):
    """A value, or several of one test, for the slow suite alone."""
    return pytest.param(*values, marks=pytest.mark.slow)


def some(values, quick):
    """Values of which only those that are named, or the first so many, are quick.

    A tuple is the values of several parameters; what one parameter takes several of is a list.
    """
    values = list(values)
    assert not any(isinstance(value, tuple) and len(value) < 2 for value in values)
    named = values[:quick] if isinstance(quick, int) else quick
    assert all(name in values for name in named)
    rows = [value if isinstance(value, tuple) else (value,) for value in values]
    return [v if v in named else slow(*row) for v, row in zip(values, rows, strict=True)]
