"""The results in results/ are of the present code, and the pages have them."""

import json
import shutil
from dataclasses import replace

import pytest

import result_tables
import results
import sklearn_table
from pages import made_anew
from result_tables import ROOT, interval, listed
from results import is_known, is_present, stale, stale_results

ENTRY = {
    **{"of": "a network", "recipe": "regress", "config": "diabetes", "seeds": 3},
    "show": {"RMSE": ["test/rmse", ".1f"], "coverage, %": ["test/coverage", ".2%"]},
}
NUMBERS = {
    "seeds": [0, 1, 2],
    "seconds": [9, 10, 14],
    "test/rmse": [1, 2, 3],
    "test/coverage": [0.5, 0.5, 0.53],
}


@pytest.fixture
def elsewhere_too(tmp_path, monkeypatch):
    """A copy of the results, to be changed."""
    shutil.copytree(ROOT / "results", tmp_path / "results")
    for module in (result_tables, results):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def changed(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_results_are_of_the_present_code():
    assert stale_results() == []


def test_another_value_is_noticed(elsewhere_too):
    text = (ROOT / "recipes/distill/README.md").read_text()
    assert made_anew(text) == text
    changed(elsewhere_too / "digits-online.json", **{"test/gain": [0.1, 0.2, 0.3, 0.2, 0.1]})
    assert "18.0 ± 8.4 (7.6 to 28.4)" in made_anew(text)


def test_another_config_is_noticed(tmp_path):
    entry = listed()["digits-teacher"]
    made, text = entry.stored(), (ROOT / "recipes/classify/digits.yaml").read_text()
    copy = tmp_path / "copy.yaml"
    for old, new, is_same in (("", "", True), ("lr: 0.01", "lr: 0.02", False)):
        copy.write_text(text.replace(old, new) if old else text)
        assert is_present(replace(entry, config=str(copy)), made) == is_same
    assert is_present(replace(entry, flags=[*entry.flags, "--data.batch_size=63"]), made) is False


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"dirty": True}, "made from files that are in no commit"),
        ({"commit": "0" * 40}, f"commit {'0' * 40} is not in the history"),
        ({"config_hash": "0"}, "the config or a default has changed since"),
        ({"seeds": [0, 1]}, "fewer than 3 seeds"),
        ({"flags": ["--data.split=1"]}, "made with other settings than results.yaml has"),
    ],
)
def test_a_result_that_cannot_be_made_again_is_named(elsewhere_too, values, fault):
    if "commit" in values and is_known(values["commit"]):
        pytest.skip("the history is not here")
    changed(elsewhere_too / "diabetes-linear.json", **values)
    assert fault in stale(listed()["diabetes-linear"])


def test_each_result_is_listed_and_there(elsewhere_too, monkeypatch):
    monkeypatch.setattr(results, "is_present", lambda *_: True)  # above
    (elsewhere_too / "diabetes-linear.json").rename(elsewhere_too / "diabetes.json")
    assert stale_results() == [
        "results/diabetes.json is not in results.yaml",
        "results/diabetes-linear.json: missing; python benchmarks/results.py --run diabetes-linear",
    ]


def test_an_interval_is_student_s_t():
    """Of the differences of ten pairs: Student's own example of 1908, hours of sleep."""
    gains = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    low, high = interval(gains)
    assert (low, high) == pytest.approx((0.700, 2.460), abs=5e-4)


def test_tables(elsewhere_too):
    (elsewhere_too / "results.yaml").write_text(json.dumps({"one": ENTRY, "two": ENTRY}))
    for name in ("one", "two"):
        (elsewhere_too / f"{name}.json").write_text(json.dumps(NUMBERS))
    text = "Before.\n<!-- results{}: one two -->\nold\n<!-- end -->\nAfter."
    lines = made_anew(text.format(" by metric")).splitlines()
    assert lines[2:6] == [
        "|  | RMSE | coverage, % | seeds | seconds |",
        "| --- | --- | --- | --- | --- |",
        *2 * ["| a network | 2.0 ± 1.0 | 51.00 ± 1.73 | 3 | 10 |"],
    ]
    row = "a network: RMSE 2.0 ± 1.0, coverage, % 51.00 ± 1.73 | 3 | 10 |"
    assert made_anew(text.format("")).splitlines()[4:6] == 2 * [f"| `regress` | `diabetes` | {row}"]
    assert lines[:2] + lines[6:] == [
        *text.format(" by metric").splitlines()[:2],
        "<!-- end -->",
        "After.",
    ]
    assert made_anew("no table") == "no table"
    entries = {"one": ENTRY | {"test": False}}
    (elsewhere_too / "results.yaml").write_text(json.dumps(entries))
    with pytest.raises(ValueError, match="one: not of test data; give `results by metric`"):
        made_anew(text.format("").replace("one two", "one"))


def test_a_set_is_beside_scikit_learn_when_all_its_folds_are_done(tmp_path, monkeypatch):
    def fold(number):
        made = {"setting": {"lr": number // 3}, "seconds": 2.0, "val": 0.0}
        return {"trees": {**made, "test": number}, "ours": {**made, "test": number - 1}}

    whole = {str(number): fold(number) for number in range(5)}
    cut = {**whole, "4": {"trees": whole["4"]["trees"]}}
    monkeypatch.setattr(sklearn_table, "FILE", tmp_path / "found.json")
    assert sklearn_table.compared() == [[""]], "nothing yet"
    few = {key: whole[key] for key in "012"}
    sklearn_table.FILE.write_text(json.dumps({"whole": whole, "cut": cut, "few": few}))
    assert sklearn_table.compared() == [
        ["", "trees", "ours"],
        ["whole", "2.000 ± 1.581, 2.0 s", "**1.000 ± 1.581**, 2.0 s"],
    ]
    row = ["lr 0 (3 of 5)"]
    assert sklearn_table.settings() == [["", "whole"], ["trees", *row], ["ours", *row]]
