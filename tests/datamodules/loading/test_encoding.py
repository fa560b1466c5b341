"""What training rows teach of columns: which words are categories, what marks a missing date."""

import numpy as np
import pandas
import pytest

from datamodules.loading.encoding import learn


def words(count):
    return pandas.DataFrame({"a": pandas.Categorical([f"w{i}" for i in range(count)])})


def test_words_that_tell_many_rows_apart_are_no_categories():
    """Of a few rows it may be chance."""
    assert len(learn(words(20), "refuse", 100).categories["a"]) == 20
    with pytest.raises(ValueError, match="column a: 21 values in 21 training rows, as names have"):
        learn(words(21), "refuse", 100)


def test_a_missing_date_has_one_indicator():
    """Its parts are missing together."""
    days = np.array([1.0, np.nan, 3.0])
    columns = pandas.DataFrame({"d.year": days, "d.month": days, "x": days})
    assert learn(columns, "indicator", 100).indicators == ["d.year", "d.month", "x"]
    assert learn(columns, "indicator", 100, {"d.month"}).indicators == ["d.year", "x"]
