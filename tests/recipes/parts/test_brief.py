"""Long texts of others, in one line."""

import pytest

from recipes.parts.brief import LONGEST, brief

REST = " ... (all of it: RECIPES_DEBUG=1)"


def test_a_short_text_is_whole_on_one_line():
    assert brief("No such file.\n   Is it\ta.csv?") == "No such file. Is it a.csv?"


@pytest.mark.parametrize(
    ("part", "end"), [("The first sentence. ", "sentence."), ("one, ", "one"), ("word ", "word")]
)
def test_a_long_text_ends_where_a_part_of_it_does(part, end):
    """At a sentence's end, or between its clauses, or between words."""
    said = brief(part * 100)
    kept = said.removesuffix(REST)
    assert kept != said and kept.endswith(end) and LONGEST / 2 < len(kept) <= LONGEST
    assert (part * 100).startswith(kept)


def test_one_long_word_stays_whole():
    assert brief("x" * 500).startswith("x" * 500)
