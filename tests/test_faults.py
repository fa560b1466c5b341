"""The benchmark of killed runs: its cases, and that its results are those of its cases."""

from collections import Counter
from itertools import product

from killing.cases import SIGNALS, TO, cases
from killing.setups import ALONE, RECIPES
from killing.table import FILE, read
from recipes.running.recipe import recipe_names


def test_the_results_are_those_of_the_cases():
    expected = {f"{arm}: {case}" for arm in ("ours", "stock") for case in cases()}
    assert read(FILE).keys() == expected


def test_the_cases_have_some_of_each_kind():
    every = cases()
    count = Counter(case.kind for case in every)
    assert count["random moment"] >= 150 and count["during a save"] >= 30
    for kind in count.keys() - {"two", "during a save"}:
        found = {case.setup.recipe for case in every if case.kind == kind}
        assert found == {*RECIPES} == {*recipe_names()}


def test_two_processes_get_each_signal_in_each_way_and_every_recipe_one():
    two = [case for case in cases() if case.kind == "two"]
    assert sorted((case.signal, case.to) for case in two) == sorted(product(SIGNALS, TO))
    assert {case.setup.recipe for case in two} == {*RECIPES} - {*ALONE}
