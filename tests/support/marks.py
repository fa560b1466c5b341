"""Which of many values a test takes in the default suite; the slow suite takes all."""

import pytest


def slow(*values):
    """A value, or several of one test, for the slow suite alone."""
    return pytest.param(*values, marks=pytest.mark.slow)


def some(values, quick):
    """Values of which only those that are named, or the first so many, are quick."""
    values = list(values)
    named = values[:quick] if isinstance(quick, int) else quick
    assert all(name in values for name in named)
    return [value if value in named else slow(value) for value in values]
