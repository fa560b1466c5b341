"""What scripts of benchmarks/ make of what they measured: the numbers that pages have."""

import copy
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import gan_arithmetic
import growth
import hardware
import levers
import measures
import op_profile
import quality
import step_profile
import vae_mnist
from beside import comparison, fits, regressions, study_races
from beside import race as race_module
from beside.race import Average, Plain, Race, raced
from callback_cost import interval
from datamodules import Diabetes, Digits
from recipes.regress import Regress

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


PEAKS = """
import torch, growth
from types import SimpleNamespace
growth.SERIES["one"] = SimpleNamespace(make=lambda value, _: lambda: float(torch.ones(value).sum()))
print(*(growth.measure("one", "make", count)["MiB"] for count in (2**10, 2**24)))
"""


def test_the_peak_of_memory_is_that_of_the_work():
    # In a process of its own, as there: what others have freed would be taken again, or given back.
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (growth.HERE.parent, growth.HERE)))}
    said = subprocess.check_output([sys.executable, "-c", PEAKS], env=os.environ | paths, text=True)
    least, most = map(float, said.split())
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


def test_plain_loops_of_a_study_are_its_members(monkeypatch):
    monkeypatch.setattr(study_races, "EPOCHS", 2)
    found, data = [], Diabetes(seed=3)
    flags = ["--model.search.init_args.learning_rate=[0.01]", "--model.seeds=[3]"]
    side = race_module.default("study", "val/rmse", *flags, "--trainer.max_epochs=2")
    side(0, found.append)
    runs = [study_races.plain_run(make, 0.01, 3, data) for make in study_races.OPTIMIZERS]
    assert found == pytest.approx([min(epoch) for epoch in zip(*runs, strict=True)], rel=1e-4)
    assert len({round(run[-1], 3) for run in runs}) > 6, "optimizers differ"


def test_runs_that_diverge_are_no_best(monkeypatch):
    monkeypatch.setattr(study_races, "EPOCHS", 3)
    inf = float("inf")
    assert study_races.best_epoch([[4.0, 3.0, inf], [2.0, 4.0, 1.0]]) == 3.0
    assert study_races.best_epoch([[float("nan")] * 3, [1.0] * 3]) == inf
    model = study_races.MLPRegressor(
        hidden_layer_sizes=[4], solver="sgd", learning_rate_init=1e9, random_state=0
    )
    split = Diabetes().splits(0)
    assert study_races.scikit_run(model, split)[1:] == [inf] * 2
    with pytest.raises(ValueError, match="solver"):
        study_races.scikit_run(study_races.MLPRegressor(solver="none"), split)


# A step by whose code it is


def test_time_is_given_to_whose_file_a_function_is_in():
    root = step_profile.ROOT
    for path, whose in {
        f"{root}/recipes/parts/stepping.py": "this project's callbacks",
        f"{root}/recipes/parts/logs.py": "this project's log and files",
        f"{root}/recipes/parts/networks.py": "the recipe",
        f"{root}/callbacks/ema.py": "this project's callbacks",
        "/x/lightning/pytorch/loops/fit_loop.py": "Lightning's loops",
        "/x/torch/optim/adam.py": "optimizer",
        "/x/torch/utils/data/dataloader.py": "reading",
        "/x/lightning/pytorch/core/module.py": "Lightning's hooks and plugins",
        "/usr/lib/python3.11/json/encoder.py": None,
    }.items():
        assert step_profile.owner(path, "f") == whose
    module = "/x/lightning/pytorch/core/module.py"
    assert step_profile.owner(module, "log_dict") == "Lightning's log and bar"


def test_samples_are_of_the_owner_that_is_innermost(monkeypatch):
    owners = {"mine": "me", "yours": "you"}
    monkeypatch.setattr(step_profile, "owner", lambda path, name: owners.get(name))

    def of_nobody(seconds):
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass

    def mine(seconds):
        of_nobody(seconds)

    def yours(seconds):
        of_nobody(seconds)
        mine(2 * seconds)

    sampler = step_profile.Sampler()
    sampler.enable()
    yours(0.1)
    sampler.disable()
    of_nobody(0.05)  # which is not sampled any more
    found = sampler.found
    assert found.keys() == {"me", "you"} and 0.15 < found.total() < 0.31
    assert found["me"] == pytest.approx(2 * found["you"], rel=0.2)
    sampler.enable()
    torch.rand(5_000_000).sort()  # one function in C, longer than many samples
    mine(0.01)
    sampler.disable()
    assert sampler.found[step_profile.REST] > 0.05


def test_a_sampler_is_on_while_the_clock_runs(monkeypatch):
    seen = []
    sampler = SimpleNamespace(enable=lambda: seen.append("on"), disable=lambda: seen.append("off"))
    monkeypatch.setattr(fits, "SAMPLERS", [sampler])
    fits.loop(seen.append, zip(range(5)), steps=2, first=3)
    assert seen == [0, 1, 2, "on", 3, 4, "off"]
    fits.fit(Regress, regressions.CONFIG, 2, 1)
    assert seen[7:] == ["on", "off"]


def test_a_side_is_shown_with_what_each_owner_takes(monkeypatch, tmp_path):
    work = {"w": {"ours": {"optimizer": 3.0}, "loop": {"optimizer": 2.0}}}
    monkeypatch.setattr(step_profile, "FILE", tmp_path / "kept.json")
    step_profile.FILE.write_text(json.dumps({"work": work}))
    header, ours, loop = step_profile.profiled()
    assert ours[:2] == ["w", "ours"] and ours[header.index("optimizer")] == "3"
    assert ours[header.index("the recipe")] == "0"
    assert loop[-1] == "2"


# Levers


def test_a_lever_is_a_ratio_of_medians(monkeypatch):
    name = next(iter(levers.LEVERS))
    rounds = [{"pulled": 1.0, "without": 4.0}, {"pulled": 2.0, "without": 4.0}]
    rounds.append({"pulled": 9.0, "without": 10.0})
    monkeypatch.setattr(levers, "kept", lambda: {name: rounds})
    _, row = levers.measured()
    assert row[2:4] == ["0.5", "0.25 to 0.9"]


def test_some_batches_in_one_call_are_as_many_updates(monkeypatch):
    size = 8
    monkeypatch.setattr(levers, "STEPS", 3 * size)
    module = levers.Several()
    network = copy.deepcopy(module.network)
    assert levers.several(size, module) > 0
    count = (3 + fits.WARM // size + 1) * size
    fits.loop(regressions.plain(network), fits.batches(regressions.data()), count, 0)
    assert fits.apart(fits.weights(module.network), fits.weights(network)) < 1e-6


@pytest.mark.parametrize("change", [{"freezes": False}, {"at_once": True}])
def test_levers_of_a_game_change_no_mathematics(monkeypatch, change):
    name = "points 4x64"
    case = replace(levers.gans.CASES[name], steps=3)

    def trained(**given):
        torch.manual_seed(0)
        pair = case.networks()
        stub = SimpleNamespace(networks=lambda: pair, data=case.data, latent=2, steps=3)
        monkeypatch.setitem(levers.gans.CASES, name, stub)
        levers.game(name, **given)
        return torch.cat([weight.flatten() for part in pair for weight in part.parameters()])

    kept = [trained(), trained(**change)]
    assert (kept[0] - kept[1]).abs().max() < 1e-4


# Overlays


def test_a_cell_is_measured_as_often_as_asked_unless_it_is_refused(monkeypatch):
    row, other = list(hardware.ROWS)[:2]
    found = {row: {"none": [[10.0, 500.0]], "fp16": "--config fp16: no GPU"}}
    monkeypatch.setattr(hardware, "kept", lambda: found | {"machine": {}})
    assert hardware.is_wanted(row, "none", 2) and not hardware.is_wanted(row, "none", 1)
    assert hardware.is_wanted(other, "none", 1) and not hardware.is_wanted(row, "fp16", 9)


def test_what_another_machine_measured_is_not_gone_on_with(tmp_path):
    file = tmp_path / "kept.json"
    assert comparison.kept_here(file) == {}
    file.write_text(json.dumps({"machine": comparison.machine(), "a": 1}))
    assert comparison.kept_here(file)["a"] == 1
    file.write_text(json.dumps({"machine": comparison.machine() | {"cores": 1000}, "a": 1}))
    with pytest.raises(SystemExit, match="json is of another machine"):
        comparison.kept_here(file)


def test_overlays_that_a_machine_has_for_nobody_are_no_column(monkeypatch):
    row, other = list(hardware.ROWS)[:2]
    found = {row: {"none": [[1000.0, 500.0], [3000.0, 510.0]], "fp16": "no GPU"}}
    found[other] = {"none": "no file", "fp16": "no GPU"}
    monkeypatch.setattr(hardware, "kept", lambda: found)
    assert hardware.overlays() == [["", "none"], [row, "2,000, 505"], [other, "refused"]]
    assert list(hardware.refusals()) == [
        f"- {row} with fp16; {other} with fp16: `no GPU`",
        f"- {other} with none: `no file`",
    ]


# Operations


def test_an_operation_is_of_a_kind_by_its_name():
    for name, kind in {
        "aten::mkldnn_convolution_backward": "products, convolutions",
        "aten::native_batch_norm": "batch-norm",
        "Optimizer.step#Adam.step": "optimizer",
        "autograd::engine::evaluate_function: ReluBackward0": "activations, pooling",
        "aten::_to_copy": "copies, casts",
        "aten::mean": op_profile.REST,
    }.items():
        assert op_profile.kind(name) == kind


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
