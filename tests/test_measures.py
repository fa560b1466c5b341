"""What scripts of benchmarks/ make of what they measured: the numbers that pages have."""

import cProfile
import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import gan_arithmetic
import growth
import measures
import quality
import step_profile
import vae_mnist
from beside import race as race_module
from beside.race import Average, Plain, Race, raced
from callback_cost import interval
from datamodules import Digits

# Growth


def test_an_exponent_is_that_of_the_last_two_points():
    points = {10: {"seconds": 9.0}, 100: {"seconds": 1.0}, 1000: {"seconds": 100.0}}
    assert growth.exponent(points, "seconds") == pytest.approx(2)


def test_a_row_says_how_a_series_grows_beside_a_plain_loop(monkeypatch):
    one, other = list(growth.SERIES["batch"].at)[:2]
    factor = other / one
    done = {
        f"batch, make, {one}": {"seconds": 1.0, "MiB": 0.2},
        f"batch, make, {other}": {"seconds": factor**0.5, "MiB": factor},
        f"batch, beside, {one}": {"seconds": 1.0, "MiB": 2.0},
        f"batch, beside, {other}": {"seconds": factor, "MiB": 2.0},
        f"rows, make, {growth.SERIES['rows'].at[0]}": {"seconds": 1.0, "MiB": 1.0},
    }
    monkeypatch.setattr(growth, "kept", lambda: done)
    header, row = growth.grown()
    assert row[2] == f"{other:,}" and len(row) == len(header), "one point alone grows with nothing"
    assert row[5:7] == ["x^0.50", "x^1.00"] and row[8] == "x^1.00"


def test_the_peak_of_memory_is_that_of_the_work(monkeypatch):
    def make(value, folder):
        return lambda: torch.ones(value).sum() and None  # which are free again

    monkeypatch.setitem(growth.SERIES, "one", SimpleNamespace(make=make))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(growth, "silence_noise", lambda: None)
    least, most = (growth.measure("one", "make", count)["MiB"] for count in (2**10, 2**24))
    assert least < 20 and 60 < most < 90, "64 MiB"


# Races


def race(best):
    return Race("em", "m", "nats", 1, best, {"ours": None, "theirs": None})


def test_a_level_is_what_the_recipe_reaches_by_each_seed(monkeypatch):
    ours = {"0": [[1.0, 5.0], [2.0, 3.0], [3.0, 4.0]], "1": [[1.0, 4.0], [4.0, 2.0]]}
    theirs = {"0": [[0.5, 6.0], [0.6, 2.9]], "1": [[0.5, 3.5]]}
    monkeypatch.setattr(quality, "RACES", (race(min),))
    monkeypatch.setattr(quality, "stored", lambda: {"em": {"ours": ours, "theirs": theirs}})
    _, first, second = quality.compared()
    assert first[4] == second[4] == "3.0", "the worse seed's best"
    assert first[2] == "2.5 ± 0.7 nats" and first[5] == "3", "medians of 2 and 4 seconds"
    assert second[5] == "not reached", "by one of its seeds"


def test_the_clock_of_a_race_runs_but_while_it_is_judged_beside_it(monkeypatch):
    now = iter([10.0, 12.0, 17.0])
    monkeypatch.setattr(race_module.time, "perf_counter", lambda: next(now))
    points = raced(lambda seed, mark: [mark(seed), mark(0.1234567, 4.0)], 3)
    assert points == [(2.0, 3), (3.0, 0.12346)]


def test_an_average_begins_without_the_first_weights():
    network = nn.Linear(1, 1, bias=False)
    average, seen = Average(network, half_life=2), []
    for value in (3.0, 5.0, 7.0):
        nn.init.constant_(network.weight, value)
        average.follow()
        seen.append(value)
    weights = [0.5 ** ((2 - place) / 2) for place in range(3)]
    expected = sum(w * v for w, v in zip(weights, seen, strict=True)) / sum(weights)
    assert average.network.weight.item() == pytest.approx(expected)


def test_a_plain_loop_trains_in_the_recipe_s_order():
    network, data, seen = nn.Linear(64, 10), Digits(batch_size=359, seed=5), []
    plain = Plain(network, torch.optim.SGD(network.parameters(), 0.0), data, 2)
    marks, steps = [], []

    def loss(images, labels):
        seen.append(labels)
        return network(images.flatten(1)).square().mean()

    plain.train(loss, lambda: 1.0, marks.append, lambda: steps.append(1))
    loader, expected = data.train_dataloader(), []
    for epoch in range(2):
        loader.set_epoch(epoch)
        expected += [labels for _, labels in loader]
    assert torch.cat(seen).equal(torch.cat(expected)) and not seen[0].equal(seen[3])
    assert marks == [1.0, 1.0] and len(steps) == len(seen) == 6


# A step by whose code it is


def test_time_is_given_to_whose_file_a_function_is_in():
    root = step_profile.ROOT
    for path, whose in {
        f"{root}/recipes/parts/stepping.py": "callbacks of this project",
        f"{root}/recipes/parts/logs.py": "log and files of this project",
        f"{root}/recipes/parts/networks.py": "the recipe",
        f"{root}/callbacks/ema.py": "callbacks of this project",
        "/x/lightning/pytorch/loops/fit_loop.py": "Lightning's loops",
        "/x/torch/optim/adam.py": "torch: optimizer",
        "/usr/lib/python3.11/json/encoder.py": None,
    }.items():
        assert step_profile.owner((path, 1, "f")) == whose


def test_what_has_no_owner_counts_for_who_called_it():
    profile = cProfile.Profile()
    network = nn.Linear(4, 4)
    profile.runcall(network, torch.zeros(2, 4))
    found = step_profile.shares(profile)
    assert found["torch: forward and backward"] > 0.5 * found.total() > 0


# Arithmetic, intervals, and kept measures


def test_operations_are_those_of_a_further_step():
    def rule(case):
        network = nn.Linear(3, 5, bias=False)
        for _ in range(case.steps + 2):  # two to warm up
            network(torch.zeros(7, 3))

    case = next(iter(gan_arithmetic.CASES.values()))
    assert gan_arithmetic.operations(rule, case) == 2 * 7 * 3 * 5


def test_an_interval_of_a_median_is_by_ranks():
    values = list(range(100))
    low, high = interval(values[::-1])
    assert (low, high) == (40, 59)


def test_measures_are_kept_in_order_of_seeds_and_replaced(tmp_path, monkeypatch):
    kept = measures.Measures(tmp_path / "kept.json")
    for seed, value in ((1, 0.5), (0, 0.25), (1, 0.75)):
        folder = tmp_path / f"s{seed}"
        folder.mkdir(exist_ok=True)
        facts = {"seed": seed, "commit": "c", "config_hash": "h", "seconds": 60.0, "samples": 1}
        (folder / "run.json").write_text(json.dumps(facts))
        (folder / "test.jsonl").write_text(json.dumps({"test/loss": value, "epoch": 3}) + "\n")
        kept.add("1", SimpleNamespace(folder=folder), sampling=2.0)
    assert kept.has("1", 0) and not kept.has("1", 2) and not kept.has("5", 0)
    assert [(run["seed"], run["test/loss"]) for run in kept.stored()["1"]] == [(0, 0.25), (1, 0.75)]
    assert kept.stored()["1"][0]["sampling"] == 2 and "epoch" not in kept.stored()["1"][0]


def test_bounds_are_beside_the_paper_s(monkeypatch):
    run = {"test/loss": 91.0, "test/nll": 88.0, "test/active_units": 20.0, "seconds": 120.0}
    found = {"1": [run, run], "5": [run | {"test/nll": 85.0}]}
    monkeypatch.setattr(vae_mnist.KEPT, "stored", lambda: found)
    header, one, five = vae_mnist.compared()
    assert len(header) == len(one) and one[0] == "VAE, k = 1" and five[0] == "IWAE, k = 5"
    assert one[3:5] == ["86.76", "+1.24"] and five[3:5] == ["85.54", "-0.54"]
    assert one[-2:] == ["2.0 ± 0.0", "2"] and five[2] == "85.00", "one run has no deviation"
