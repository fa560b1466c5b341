"""Comparing runs: the same output wherever they are read, numbers by their definition, mistakes."""

import csv
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from launches import environment
from recipes.compare.__main__ import main
from recipes.compare.groups import band, grouped, mean_std
from recipes.compare.page import write_page
from recipes.compare.paired import Difference, bootstrap
from recipes.compare.picture import draw
from recipes.compare.report import read
from recipes.compare.runs import curves, read_folder
from recipes.compare.table import ranked, table
from recipes.compare.tracked import nested, offline_runs, online_runs, try_records
from recipes.parts.keys import config_hash, dotted, headline, more_is_better
from trains import interrupt_after, rows

pytestmark = pytest.mark.usefixtures("undrawn")
FEW = ("--trainer.limit_train_batches=4", "--trainer.log_every_n_steps=2")
TOOLS = ("dashboard", "seeds", "folds")
HERE = {"host": platform.node(), "id": os.getpid()}


@pytest.mark.parametrize(
    "module", ["compare.report", "dashboard.__main__", "seeds.__main__", "folds.__main__"]
)
def test_it_starts_without_what_trains(module):
    """Torch and Lightning take seconds to import; comparing, or --help, needs neither."""
    code = f"import sys, recipes.{module}; print({{'torch', 'lightning'}} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout == "set()\n"


def write_run(name, accuracy=(0.5, 0.9), settings=(), finished=True, **facts):
    """A run's folder with some values of val/accuracy; facts that are not given are typical."""
    folder = Path("runs/distill", name)
    folder.mkdir(parents=True)
    known = {"recipe": "distill", "config": "digits", "process": HERE} | facts
    known["settings"] = {"seed_everything": 0, "name": name} | dict(settings)
    if finished:
        known |= {"seconds": 2.0, "samples": 100, "finished": True}
    (folder / "run.json").write_text(json.dumps(known))
    found = [
        {"step": 10 * epoch + 9, "val/accuracy": value, "epoch": epoch, "samples": 50.0 * epoch}
        for epoch, value in enumerate(accuracy)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return folder


def printed(capsys, *args):
    """What the command prints, and its last line of errors."""
    capsys.readouterr()
    main([*map(str, args)])
    return capsys.readouterr().out


def mistake(*args):
    with pytest.raises(SystemExit) as stop:
        main([*map(str, args)])
    text = str(stop.value.code)
    assert text.startswith("error: ") and "\n" not in text
    return text


class Project:
    """What W&B's public interface gives of runs that lie on this disk."""

    def __init__(self, files):
        self.files = files

    def runs(self, path, order):
        assert (path, order) == ("me/mine", "+created_at")
        for file in self.files:
            records = try_records(file)
            run = next(record["run"] for record in records if record["type"] == "run")
            config = [r["config"]["update"] for r in records if r["type"] == "config"]
            history = [nested(r["history"]["item"]) for r in records if r["type"] == "history"]

            @contextmanager
            def opened(path, replace=False):
                with path.open() as found:
                    yield found

            yield SimpleNamespace(
                name=run["display_name"],
                config={key: value for part in config for key, value in part.items()},
                scan_history=lambda history=history: iter(history),
                file=lambda path, file=file: SimpleNamespace(
                    download=lambda root: opened(file.parent / "files" / path)
                ),
            )


@pytest.mark.slow
def test_the_same_from_folders_from_wandb_on_disk_and_from_its_project(recipe, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_MODE")
    sample = {"class_path": "Samples", "init_args": {"every": 0, "count": 50}}
    stats = {"class_path": "OptimizerStats", "init_args": {"every": 2}}  # logs rows of its own
    few = {"callbacks": [sample, stats], "max_epochs": 2}
    Path("few.yaml").write_text(json.dumps({"trainer": few}))
    sizes = ("--data.samples=2000", "--data.val_samples=500", "--data.test_samples=500")
    ring = ("gan", "fit", "--config=ring", "--config=few.yaml", *sizes, *FEW)
    recipe(*ring, "--name=whole", "--seed_everything=1")
    # Resumed in its second epoch, and tested: further W&B files of the same run.
    with monkeypatch.context() as patch:
        interrupt_after(7, patch)
        with pytest.raises(MemoryError):
            recipe(*ring, "--name=cut")
    cut = "--ckpt_path=runs/gan/cut/checkpoints/last.ckpt"
    recipe("gan", "fit", cut)
    (first, _) = sorted(Path("runs/gan/cut/wandb").glob("offline-run-*"))
    first.rename(first.with_name(first.name.removeprefix("offline-")))  # as if logged in at first
    recipe("gan", "test", cut, "--data.batch_size=16")
    files = sorted(Path("runs").rglob("*.wandb"))
    assert len(files) == 4

    folders = read(["runs/gan"])
    on_disk = sorted(offline_runs(Path("runs/gan")), key=lambda run: run.name)
    whole = [file for file in files if "cut" not in str(file)]
    project = {run.name: run for run in online_runs("me/mine", Project(whole))}
    assert [run.name for run in folders] == [run.name for run in on_disk] == ["cut", "whole"]
    assert set(project) == {"whole"}
    assert folders[0].evaluated and folders[0].pictures
    assert any(key.startswith("optimizer/") for key in folders[0].curves)
    for source in (on_disk, project.values()):
        for run in source:
            same = next(other for other in folders if other.name == run.name)
            assert run.compared == same.compared and run.state == same.state == "finished"
            assert run.facts["seconds"] == same.facts["seconds"] > 0
            assert run.pictures == same.pictures and run.evaluated == same.evaluated
            assert run.curves.keys() == same.curves.keys()
            for key, curve in run.curves.items():
                np.testing.assert_array_equal(curve.value, same.curves[key].value)
                for axis, values in curve.axes.items():
                    np.testing.assert_array_equal(values, same.curves[key].axes[axis], axis)
    text = printed(capsys, "runs/gan", "--output=folders")
    wandb = printed(capsys, *Path("runs/gan").glob("*/wandb"), "--output=wandb")
    assert "| 2 |" in text and text.splitlines()[:-1] == wandb.splitlines()[:-1]
    for name in ("compare.html", "compare.png"):
        assert Path("folders", name).read_bytes() == Path("wandb", name).read_bytes()
    page = Path("folders/compare.html").read_text()
    assert page.count('<img src="data:image/png;base64,') == 1, "all runs are one setting"


def test_numbers_are_those_of_the_definition(capsys):
    values = {1: [(0.2, 0.8), (0.9, 0.6), (0.3, 0.7)], 4: [(0.1, 0.9), (0.5, 0.95)]}
    for temperature, seeds in values.items():
        for seed, accuracy in enumerate(seeds):
            settings = {"model.temperature": temperature, "seed_everything": seed}
            settings |= {"data.split_seed": seed, "model.alpha": 0.5 + seed * 0, "tags": [seed]}
            write_run(f"t{temperature}-{seed}", accuracy, settings)
    text = printed(capsys, "runs")
    found = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if line[0] == "|"]
    assert found[0] == ["temperature", "val/accuracy", "best", "n", "seconds", "samples/s", "runs"]
    for row, temperature in zip(found[2:], (4, 1), strict=True):  # the best first
        last = [accuracy[-1] for accuracy in values[temperature]]
        best = [max(accuracy) for accuracy in values[temperature]]
        expected = [f"{np.mean(x):.4f} ± {np.std(x, ddof=1):.4f}" for x in (last, best)]
        assert row[:4] == [str(temperature), *expected, str(len(last))]
        assert row[4:6] == ["2.00 ± 0.00", "50.0 ± 0.0"]
    assert [row[6] for row in found[2:]] == ["t4-0, t4-1", "t1-0 ... t1-2"]


def test_of_errors_less_is_better_and_of_diverged_runs_none():
    for name, value in (("a", 3.0), ("b", 1.0), ("c", float("nan")), ("d", 2.0)):
        folder = write_run(name, (), {"model.x": name})
        row = {"step": 1, "epoch": 0, "val/rmse": value}
        (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    _, groups = ranked(read(["runs"]), "val/rmse")
    assert [group.runs[0].name for group in groups] == ["b", "d", "a", "c"]
    assert np.isnan(groups[-1].runs[0].best("val/rmse"))


def test_seeds_of_which_one_has_diverged_are_compared(capsys):
    for seed, last in enumerate((0.7, float("nan"), float("inf"))):
        write_run(str(seed), (0.5, last), {"seed_everything": seed})
    assert "| nan ± nan | inf ± nan | 3 |" in re.sub(" +", " ", printed(capsys, "runs"))
    assert Path("runs/compare.html").exists()


@pytest.mark.parametrize(
    ("metric", "more"),
    [
        ("val/accuracy", True),
        ("val/recall_lenet", True),
        ("val/recall_pixels_floor", True),
        ("test/ensemble_r2/Adam", True),
        ("val/r2", True),
        ("val/loss", False),
        ("val/errors", False),
        ("val/rmse/Adam", False),
        ("val/kid_pixels", False),
        ("train/loss", False),
    ],
)
def test_which_way_a_metric_is_better(metric, more):
    assert more_is_better(metric) is more


def test_the_headline_is_what_the_recipe_is_about():
    assert headline(["train/loss", "val/loss", "val/accuracy"]) == "val/accuracy"
    assert headline(["val/fid_pixels", "val/kid_pixels", "val/loss"]) == "val/kid_pixels"
    assert headline(["val/loss", "val/rmse/Adam"]) == "val/loss", "of a study, not one optimizer"
    assert headline(["train/loss"]) == "train/loss"


def test_a_band_is_mean_and_deviation_at_each_point():
    for seed, values in enumerate([(1.0, 2.0, 6.0), (3.0, 4.0)]):
        write_run(str(seed), values, {"seed_everything": seed})
    _, (group,) = grouped(read(["runs"]))
    x, mean, std = band(group, "val/accuracy", "step")
    assert x.tolist() == [9, 19, 29] and mean.tolist() == [2, 3, 6], "at the end, the longer run"
    assert std == pytest.approx([statistics.stdev([1, 3]), statistics.stdev([2, 4]), 0])
    assert band(group, "val/accuracy", "epoch")[0].tolist() == [0, 1, 2]
    assert band(group, "val/loss", "step")[0].size == 0


def test_classes_that_vary_are_labelled_by_what_tells_them_apart():
    adam = {"model.optimizer.class_path": "torch.optim.Adam", "model.optimizer.betas": [0.9, 1]}
    sgd = {"model.optimizer.class_path": "torch.optim.SGD", "model.optimizer.momentum": 0.9}
    for name, settings in (("a", adam), ("b", sgd), ("c", adam | {"model.optimizer.betas": [0]})):
        write_run(name, settings=settings)
    varying, groups = grouped(read(["runs"]))
    assert varying == [f"model.optimizer.{name}" for name in ("betas", "class_path", "momentum")]
    assert [group.label for group in groups] == [
        "optimizer=Adam, betas=[0.9, 1]",
        "optimizer=SGD",
        "optimizer=Adam, betas=[0]",
    ]
    assert "Adam" in table(varying, groups, "val/accuracy")


def test_the_same_training_again_is_not_another_seed(capsys):
    write_run("first", (0.1,))
    write_run("again", (0.2,))
    write_run("cut", (0.3,), finished=False)
    write_run("other", (0.4,), {"seed_everything": 1})
    write_run("split", (0.6,), {"data.split_seed": 1})
    text = printed(capsys, "runs")
    assert "0.3667 ± 0.2517" in text and "| 3 |" in text, "0.1, 0.4, 0.6: the last that finished"
    assert "left out: again, cut: another run has the same settings and seeds" in text


def test_what_was_tested_has_a_column(capsys):
    write_run("a", (0.1,))
    folder = write_run("b", (0.2,), {"model.x": 1})
    row = {"checkpoint": "x", "test/accuracy": 0.25}
    (folder / "test.jsonl").write_text(json.dumps(row) + "\n")
    header, _, best, other = printed(capsys, "runs").splitlines()[:4]
    assert "test/accuracy" in header and "0.2500" in best and re.search(r"\| +- \|", other)


def test_runs_of_two_recipes_are_labelled_by_what_varies_within_each(capsys):
    write_run("a", settings={"model.student": 1, "model.x": 1})
    write_run("b", settings={"model.student": 1, "model.x": 2})
    write_run("c", recipe="classify", settings={"model.network": 3})
    _, groups = grouped(read(["runs"]))
    assert sorted(group.label for group in groups) == [
        "classify: digits",
        "distill: x=1",
        "distill: x=2",
    ]
    text = printed(capsys, "runs")
    assert "| classify: digits |" in text


def test_what_has_not_finished_is_last():
    for name, value, facts in (("a", 0.9, {"pruned": True}), ("b", 0.1, {}), ("c", 0.5, {})):
        write_run(name, (value,), {"model.x": name}, finished=name != "c", **facts)
    _, groups = ranked(read(["runs"]), "val/accuracy")
    assert [group.runs[0].name for group in groups] == ["b", "a", "c"]
    assert [group.count for group in groups] == ["1", "1 pruned", "1 running"]


def test_cells_are_what_was_set_and_do_not_break_the_table(capsys):
    for name, path in (("a", "one|[bold]x.csv"), ("b", "two.csv")):
        write_run(name, settings={"data.path": path})
    text = printed(capsys, "runs")
    assert "| one\\|[bold]x.csv |" in text and "| two.csv" in text


def test_a_long_label_has_what_tells_it_from_the_others():
    for name, teacher in (("a", "long/" * 20), ("b", None)):
        settings = {"model.scheme": f"scheme-{name}", "model.teacher": teacher}
        write_run(name, settings=settings | {"model.alpha": len(name)})
    _, groups = grouped(read(["runs"]))
    assert [group.label for group in groups] == ["scheme=scheme-a", "scheme=scheme-b"]
    write_run("c", settings={"model.scheme": "scheme-b", "model.teacher": None, "model.alpha": 2})
    _, groups = grouped(read(["runs"]))
    assert groups[2].label == "alpha=2, scheme=scheme-b"


def test_a_label_is_of_what_the_commands_vary_before_what_follows_from_it():
    """Not of the first keys in the alphabet, which here only follow from the temperature."""
    for number in range(3):
        follows = {f"model.a{i}": f"{number}-{'long' * 8}" for i in range(4)}
        settings = follows | {"model.temperature": number, "model.z": number > 0}
        write_run(str(number), settings=settings, command=f"fit --model.temperature={number}")
    _, groups = grouped(read(["runs"]))
    assert [group.label for group in groups] == [f"temperature={number}" for number in range(3)]


def test_a_csv_has_all_digits(capsys):
    values = {"one": (0.1234567890123456, 0.2), "two": (1 / 3, 2 / 3)}
    for name, pair in values.items():
        for seed, last in enumerate(pair):
            write_run(f"{name}-{seed}", (0.9, last), {"seed_everything": seed, "model.x": name})
    write_run("three", (0.1,), {"model.x": "a, b"})
    assert "deep/all.csv" in printed(capsys, "runs", "--csv=deep/all.csv")
    with Path("deep/all.csv").open(newline="") as file:
        found = {row["model.x"]: row for row in csv.DictReader(file)}
    assert found.keys() == {"one", "two", "a, b"}
    for name, pair in values.items():
        assert float(found[name]["val/accuracy"]) == statistics.fmean(pair)
        assert float(found[name]["val/accuracy std"]) == statistics.stdev(pair)
        assert float(found[name]["best"]) == 0.9 and found[name]["n"] == "2"
        assert found[name]["runs"] == f"{name}-0 {name}-1"
    assert found["a, b"]["val/accuracy std"] == "" and found["a, b"]["setting"] == "x=a, b"
    Path("folder").mkdir()
    assert mistake("--csv=folder") == "error: --csv=folder: a folder, not a file"


def test_differences_are_of_runs_with_the_same_seeds(capsys):
    """Pairs in any order; a seed that one of the two lacks is in none."""
    accuracy = {"base": {0: 0.5, 1: 0.8, 2: 0.2, 7: 0.9}, "more": {2: 0.25, 0: 0.6, 1: 0.81, 9: 0}}
    for name, runs in accuracy.items():
        for seed, last in runs.items():
            write_run(f"{name}-{seed}", (last,), {"seed_everything": seed, "model.x": name})
    write_run("other", (0.1,), {"seed_everything": 50, "model.x": "other"})
    text = printed(capsys, "runs", "--baseline=base-1", "--csv=all.csv")
    (row,) = [line for line in text.splitlines() if line.startswith("| more")]
    expected = [accuracy["more"][seed] - accuracy["base"][seed] for seed in (0, 1, 2)]
    low, high = bootstrap(expected)
    told = f"{statistics.fmean(expected):+.3g} ({low:.3g} to {high:.3g})"
    assert re.split(r" *\| *", row)[7:9] == [told, "3"]
    assert re.search(r"\| base .*\| +baseline \| +\| base-0", text)
    assert re.search(r"\| other .*\| +- \| +0 \|", text)
    with Path("all.csv").open(newline="") as file:
        found = {row["model.x"]: row for row in csv.DictReader(file)}
    assert float(found["more"]["difference"]) == pytest.approx(statistics.fmean(expected))
    assert (float(found["more"]["low"]), float(found["more"]["high"])) == (low, high)
    assert found["more"]["pairs"] == "3" and found["base"]["difference"] == ""
    assert printed(capsys, "runs", "--baseline=x=base", "--csv=again.csv").count("baseline |") == 1
    assert Path("again.csv").read_text() == Path("all.csv").read_text(), "keyed, and by label too"
    assert told in Path("runs/compare.html").read_text()
    printed(capsys, "runs")
    assert "to the baseline" not in Path("runs/compare.html").read_text()
    assert mistake("--baseline=x=bas").startswith(
        "error: --baseline=x=bas: is it 'x=base'? give a run's name, or a label: ['x=base', "
    )


def test_a_bootstrap_interval_is_of_all_samples_with_replacement():
    """Against the quantiles over every sample that can be drawn, and for many normal values."""
    values = [0.3, -0.1, 0.45, 0.2]
    every = [statistics.fmean(drawn) for drawn in product(values, repeat=len(values))]
    low, high = np.quantile(every, [0.025, 0.975])
    assert bootstrap(values) == pytest.approx((low, high), abs=0.02)
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap([0.5, 0.5]) == (0.5, 0.5)
    normal = np.random.default_rng(1).normal(3, 2, 400)
    reach = 1.96 * normal.std() / 20
    expected = (normal.mean() - reach, normal.mean() + reach)
    assert bootstrap(normal) == pytest.approx(expected, abs=0.02)


def test_a_single_pair_has_no_interval_and_a_diverged_one_no_number():
    assert str(Difference.of([-0.25])) == "-0.25"
    assert str(Difference.of([])) == "-"
    assert str(Difference.of([0.1, float("nan")])) == "+nan (nan to nan)"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.9733, 0.9811], "0.9772 ± 0.0055"),
        ([123456.0], "123456"),
        ([0.000123], "0.0001230"),
        ([], "-"),
        ([0.0, 0.0], "0.000 ± 0.000"),
        ([float("nan")], "nan"),
        ([float("nan"), 0.5], "nan ± nan"),
        ([float("inf"), 0.5], "inf ± nan"),
    ],
)
def test_numbers_are_shown_with_four_digits(values, text):
    assert mean_std(values) == text


def test_what_is_running_or_was_stopped_is_counted_beside_the_mean(capsys):
    dead = subprocess.Popen(["true"])
    dead.wait()
    write_run("done", (0.8,), {"seed_everything": 0})
    live = write_run("live", (0.1,), {"seed_everything": 1}, finished=False)
    write_run(
        "dead", (0.2,), {"seed_everything": 2}, finished=False, process=HERE | {"id": dead.pid}
    )
    with (live / "metrics.jsonl").open("a") as file:
        file.write('{"step": 19, "val/accu')  # as it is being written
    elsewhere = {"process": {"host": "another", "id": 1}}
    old = write_run("old", (0.3,), {"seed_everything": 3}, finished=False, **elsewhere)
    os.utime(old / "metrics.jsonl", (0, 0))
    write_run("new", (0.4,), {"seed_everything": 4}, finished=False, **elsewhere)
    first = {"process": HERE | {"id": dead.pid}, "continued": [{"process": HERE}]}
    write_run("resumed", (0.5,), {"seed_everything": 5}, finished=False, **first)
    states = {run.name: run.state for run in read(["runs"])}
    assert states == {
        "done": "finished",
        "live": "running",
        "new": "running",
        "resumed": "running",
        "dead": "stopped",
        "old": "stopped",
    }
    (row,) = [line for line in printed(capsys, "runs").splitlines() if "0.8000" in line]
    assert "| 1 + 3 running + 2 stopped |" in row, "the mean is of the run that has finished"


def test_each_run_counts_once_however_often_it_is_named(capsys):
    for seed in range(2):
        write_run(str(seed), (0.5,), {"seed_everything": seed})
    once = printed(capsys, "runs").splitlines()[:-1]
    printed(capsys, "runs/distill")
    every = sorted(Path("runs/distill").iterdir())  # as a shell's *
    assert {path.name for path in every} == {"0", "1", "compare.html", "compare.png"}
    assert printed(capsys, *every).splitlines()[:-1] == once
    assert printed(capsys, "runs", "runs/distill/1").splitlines()[:-1] == once
    assert "| 1 |" in printed(capsys, "runs/distill/1/run.json")


def test_a_damaged_run_is_named_and_skipped(capsys):
    write_run("whole")
    damaged = write_run("damaged")
    (damaged / "metrics.jsonl").write_text('{"step": 1, "val/accu\n{"step": 2}\n')
    (write_run("empty") / "run.json").write_text("")
    (Path("runs/distill/binary/wandb")).mkdir(parents=True)
    main(["runs"])
    captured = capsys.readouterr()
    assert "0.9000" in captured.out
    lines = captured.err.splitlines()
    assert lines[0] == "skipped runs/distill/damaged/metrics.jsonl, line 1 is damaged"
    assert (
        lines[1].startswith("skipped runs/distill/empty/run.json is damaged: ") and len(lines) == 2
    )
    (damaged / "metrics.jsonl").write_text("null\n3\n")  # JSON, but no rows
    main(["runs"])
    assert "damaged/metrics.jsonl, line 1 is damaged" in capsys.readouterr().err
    # A run that has finished has no half-written row.
    (damaged / "metrics.jsonl").write_text('{"step": 1, "val/accuracy": 0.5}\n{"step": 2, "va')
    main(["runs"])
    assert "damaged/metrics.jsonl, line 2 is damaged" in capsys.readouterr().err


def test_a_run_that_cannot_be_opened_is_named_and_one_without_samples_has_no_speed(capsys):
    write_run("whole", settings={"seed_everything": 0})
    removed = write_run("removed") / "metrics.jsonl"
    removed.unlink()
    removed.mkdir()
    folder = write_run("before", settings={"seed_everything": 1})
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({k: facts[k] for k in facts if k != "samples"}))
    main(["runs"])
    captured = capsys.readouterr()
    assert captured.err.startswith("skipped runs/distill/removed: ")
    assert "| 2 | 2.00 ± 0.00 |      50.0 |" in captured.out


BIG = "1" + "0" * 400
NESTED = '{"a":' * 30 + "1" + "}" * 30
OTHER = platform.node()
ODD_FACTS = {
    "run.json is damaged": [
        '{"settings": []}',
        '{"settings": 3}',
        f'{{"process": {{"host": "{OTHER}", "id": "abc"}}}}',
        f'{{"process": {{"host": "{OTHER}", "id": {BIG}}}}}',
        '{"continued": "x"}',
        '{"continued": [1]}',
        f'{{"continued": [{{"process": {{"host": "{OTHER}", "id": "q"}}}}]}}',
        '{"seconds": "2"}',
        '{"seconds": [1]}',
        f'{{"seconds": {BIG}}}',
        '{"samples": "many"}',
        '{"recipe": ["a"]}',
        '{"config": ["a"]}',
        '{"command": 3}',
        "[]",
        "[" * 100_000,
    ],
    "its settings are nested too deeply": [
        f'{{"settings": {{"model": {NESTED}}}}}',
        f'{{"settings": {{"model.x": {"[" * 30}{"]" * 30}}}}}',
    ],
    # Not skipped: what is not known is no obstacle.
    "": [
        '{"process": null}',
        '{"config": {"a": 1}}',
        '{"continued": []}',
        '{"seconds": 0, "samples": 5}',
        '{"seconds": 5e-324, "samples": 5}',
        '{"hardware": "none"}',
        '{"settings": {"a": [[1, 2], {"b": null}], "c": {}}}',
    ],
}
ODD_ROWS = (
    *('"val/accuracy": [0.1, 0.2]', '"val/accuracy": "high"', '"val/accuracy": {"a": 1}'),
    *('"val/accuracy": null', '"val/accuracy": NaN', '"val/accuracy": -Infinity'),
    *(f'"val/accuracy": {BIG}', '"val/accuracy": 1.7e308', '"val/accuracy": true'),
    *('"val/accuracy": 0.1, "step": "x", "epoch": [2]', '"val/accuracy": 1, "epoch": -1e308'),
    *('"": 3', f'"val/accuracy": 1, "epoch": {BIG}', '"test/accuracy": [1]'),
)


def test_odd_runs_do_not_end_the_comparison(capsys, monkeypatch):
    """Each is skipped by its name, or compared as far as it is known."""
    for seed, accuracy in enumerate([(0.5, 0.90), (0.5, 0.92)]):
        write_run(f"good-{seed}", accuracy, {"seed_everything": seed})
    expected = {}
    for reason, contents in ODD_FACTS.items():
        for content in contents:
            name = f"odd-{len(expected)}"
            folder, expected[name] = write_run(name, settings={"odd": name}), reason
            text = (folder / "run.json").read_text()
            is_whole = content.startswith("{")
            facts = json.loads(text) | json.loads(content) if is_whole else {}
            (folder / "run.json").write_text(json.dumps(facts) if is_whole else content)
    for number, row in enumerate(ODD_ROWS):
        folder = write_run(f"row-{number}", settings={"odd": f"row-{number}"})
        line = f'{{"step": 3, {row}}}\n'
        (folder / "metrics.jsonl").write_text(2 * line)
        (folder / "test.jsonl").write_text(line.replace("val/", "test/"))
    monkeypatch.setattr("recipes.compare.picture.Figure", Figure)
    text = printed_with_errors(capsys, "runs")
    assert "0.9100 ± 0.0141" in text.out
    for name, reason in expected.items():
        said = [line for line in text.err.splitlines() if f"/{name}/" in f"{line.split(':')[0]}/"]
        assert (len(said) == 1 and reason in said[0]) if reason else not said, name
    assert "row-" not in text.err
    for name in ("compare.png", "compare.html"):
        assert Path("runs", name).stat().st_size > 10_000


def printed_with_errors(capsys, *args):
    capsys.readouterr()
    main([*args])
    return capsys.readouterr()


@pytest.mark.parametrize(
    "config", [{"run.process.id": "abc"}, {"run.continued": 3}, {"a": json.loads(NESTED)}]
)
def test_an_odd_run_of_a_project_is_skipped(config):
    row = {"val/accuracy": 0.5, "samples": 1, "trainer/global_step": 1}
    odd = SimpleNamespace(name="odd", config=config, scan_history=lambda: [row])
    media = SimpleNamespace(name="media", config={}, scan_history=lambda: [{**row, "study": 3}])
    good = SimpleNamespace(name="good", config={}, scan_history=lambda: [row])
    api = SimpleNamespace(runs=lambda path, order: [odd, media, good])
    one, two, three = online_runs("me/mine", api)
    assert str(one).startswith("me/mine/odd: ") and str(two).startswith("me/mine/media: ")
    assert three.last("val/accuracy") == 0.5


def test_numbers_of_a_column_are_kept_beside_what_is_none():
    rows = [{"step": n, "a": value} for n, value in enumerate([0.5, [1], None, "x", "NaN", 1e300])]
    curve = curves(rows)["a"]
    np.testing.assert_array_equal(curve.value, [0.5, np.nan, np.nan, np.inf])
    np.testing.assert_array_equal(curve.axes["step"], [0, 2, 4, 5])


def test_a_damaged_wandb_file_is_named_and_skipped(capsys):
    Path("some/wandb/offline-run-1").mkdir(parents=True)
    Path("some/wandb/offline-run-1/run-a.wandb").write_bytes(b"no log" * 100)
    assert mistake("some") == "error: some: no runs here that can be read"
    assert "skipped some/wandb/offline-run-1/run-a.wandb: " in capsys.readouterr().err


def test_mistakes_end_in_one_line(monkeypatch):
    assert mistake("nowhere") == ("error: nowhere: no such folder; a W&B project is entity/project")
    assert mistake() == "error: runs: no such folder; a W&B project is entity/project"
    Path("runs").mkdir()
    assert mistake() == "error: runs: no runs here that can be read"
    write_run("a")
    assert mistake("--metric=val/acuracy") == (
        "error: --metric=val/acuracy: is it val/accuracy? the runs have val/accuracy"
    )
    monkeypatch.setenv("WANDB_API_KEY", "")
    assert "me/mine cannot be read from W&B (wandb login): " in mistake("me/mine")
    write_run("b", ())
    assert mistake("runs/distill/b") == "error: runs/distill/b: the runs have no metrics yet"


def test_the_page_needs_no_network_and_escapes_what_it_shows():
    write_run("a", settings={"model.x": "<script>alert(1)</script>"})
    write_run("b", settings={"model.x": "b"})
    varying, groups = ranked(read(["runs"]), "val/accuracy")
    write_page(varying, groups, "val/accuracy", Path("page.html"))
    page = Path("page.html").read_text()
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?(http|//)", page)
    assert "&lt;script&gt;alert(1)" in page and "<script>alert" not in page


def data_of(page):
    """What the page's script draws."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


@pytest.mark.parametrize("seeds", [1, 2, 6])
def test_the_page_of_12_runs_of_1000_rows_is_small(seeds):
    random = np.random.default_rng(0)
    keys = [f"val/{name}" for name in ("accuracy", "agreement", "errors", "gain", "loss", "nll")]
    for number in range(12):
        settings = {"model.x": number // seeds, "seed_everything": number % seeds}
        folder = write_run(f"run-{number}", (), settings)
        lines = []
        for index in range(1000):
            names = keys if index % 5 == 4 else ("train/loss", "lr/Adam")
            row = dict(zip(names, random.random(len(names)).tolist(), strict=True))
            row |= {"step": 4 * index + 3, "epoch": index // 5, "samples": 256.0 * index}
            lines.append(json.dumps(row))
        (folder / "metrics.jsonl").write_text("\n".join(lines))
    varying, groups = ranked(read(["runs"]), "val/accuracy")
    write_page(varying, groups, "val/accuracy", Path("page.html"))
    assert 1e6 < Path("page.html").stat().st_size < 1.5e6


def test_the_page_draws_the_bands_of_each_axis():
    for seed, values in enumerate([(0.123456789, 0.2, float("nan")), (0.3, 0.4, 0.5)]):
        write_run(str(seed), values, {"seed_everything": seed})
    _, groups = ranked(read(["runs"]), "val/accuracy")
    write_page([], groups, "val/accuracy", Path("page.html"))
    found = data_of(Path("page.html").read_text())
    (plot,) = found["plots"]
    assert [axis["name"] for axis in plot["axes"]] == ["step", "epoch", "samples"]
    assert (plot["first"], plot["label"]) == ("epoch", "accuracy (share)")
    (curve,) = plot["curves"]
    for axis, expected in (("step", [9, 19, 29]), ("epoch", [0, 1, 2]), ("samples", [0, 50, 100])):
        x, mean, std = (found["arrays"][place] for place in curve["along"][axis])
        assert x == expected and mean == [0.21173, 0.3, 0.5]
        assert std == [float(f"{np.std([0.123456789, 0.3], ddof=1):.5g}"), 0.14142, 0]
    assert len(found["arrays"]) == 5, "three axes, one mean, one deviation"
    (row,) = found["final"]
    assert row["runs"] == ["0", "1"] and row["values"] == [None, 0.5]


def test_the_page_shows_a_curve_of_one_run_without_a_band():
    write_run("a", settings={"model.x": 1})
    write_run("b", settings={"model.x": 2})
    varying, groups = ranked(read(["runs"]), "val/accuracy")
    write_page(varying, groups, "val/accuracy", Path("page.html"))
    (plot,) = data_of(Path("page.html").read_text())["plots"]
    assert all(curve["along"]["step"][2] is None for curve in plot["curves"])


def test_older_runs_are_read_from_their_config():
    folder = write_run("old")
    facts = json.loads((folder / "run.json").read_text())
    del facts["settings"]
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "config.yaml").write_text("model: {optimizer: {class_path: A, init_args: {lr: 1}}}")
    settings = {"model.optimizer.class_path": "A", "model.optimizer.lr": 1}
    assert read_folder(folder).settings == settings


def test_a_flat_key_is_an_option_of_the_command_line(recipe):
    recipe("distill", "fit", "--name=a", "--trainer.max_epochs=1", *FEW)
    facts = json.loads(Path("runs/distill/a/run.json").read_text())
    settings = facts["settings"]
    first = ("model.student.class_path", "model.teacher.class_path", "data.class_path")
    chosen = [key for key in settings if key.startswith(("model.", "data.", "seed"))]
    flags = [
        f"--{key}={settings[key] if isinstance(settings[key], str) else json.dumps(settings[key])}"
        for key in sorted(chosen, key=lambda key: key not in first)
        if settings[key] is not None
    ]
    recipe("distill", "fit", "--name=b", *flags, "--trainer.max_epochs=1", *FEW)
    again = json.loads(Path("runs/distill/b/run.json").read_text())
    assert {k: again["settings"][k] for k in chosen} == {k: settings[k] for k in chosen}
    assert again["config_hash"] == facts["config_hash"] == config_hash(settings)
    assert rows(Path("runs/distill/a")) == rows(Path("runs/distill/b"))


def test_flat_keys_of_classes_in_lists_have_their_names():
    callbacks = [
        {"class_path": "a.LRDecay", "init_args": {"warmup": 1}},
        {"class_path": "a.LRDecay", "init_args": {"warmup": 2}},
        {"class_path": "b.Curves", "init_args": {}},
    ]
    assert dotted({"trainer": {"callbacks": callbacks, "devices": [1]}}) == {
        "trainer.callbacks.LRDecay.class_path": "a.LRDecay",
        "trainer.callbacks.LRDecay.warmup": 1,
        "trainer.callbacks.LRDecay-2.class_path": "a.LRDecay",
        "trainer.callbacks.LRDecay-2.warmup": 2,
        "trainer.callbacks.Curves.class_path": "b.Curves",
        "trainer.devices": [1],
    }


def test_a_config_hash_does_not_depend_on_where_a_class_of_this_project_lives():
    one, two, others = (
        {"model.network.class_path": f"{module}.MLP"}
        for module in ("recipes.networks", "recipes.parts.networks", "lab.networks")
    )
    assert config_hash(one) == config_hash(two) != config_hash(others)
    assert config_hash(one) != config_hash({"model.network.class_path": "recipes.networks.ConvNet"})


def test_a_config_hash_knows_settings_but_neither_seeds_nor_places():
    settings = {"model.x": 1, "seed_everything": 0, "data.split_seed": 0, "name": "a"}
    others = settings | {"seed_everything": 1, "data.split_seed": 2, "name": "b", "tags": ["x"]}
    assert config_hash(settings) == config_hash(others) != config_hash(settings | {"model.x": 2})


def test_a_checkpoint_of_each_seed_is_the_same_setting_and_of_another_teacher_is_not():
    teacher = "model.teacher_checkpoint"
    one, two, other = (
        {"seed_everything": seed, teacher: f"runs/classify/{name}-s{seed}/10/last.ckpt"}
        for seed, name in ((1, "small"), (2, "small"), (1, "large"))
    )
    assert config_hash(one) == config_hash(two) != config_hash(other)
    assert config_hash(one) != config_hash(one | {teacher: one[teacher].replace("10", "11")})


def test_a_number_in_the_name_of_one_teacher_is_no_seed():
    path = "runs/classify/digits-1/checkpoints/epoch=2-step=40.ckpt"  # as runs are numbered
    settings = [{"seed_everything": seed, "model.teacher_checkpoint": path} for seed in range(3)]
    assert len(set(map(config_hash, settings))) == 1


@pytest.mark.parametrize("count", [2, 7])
def test_the_picture_shows_all_and_no_more_than_five_bands_over_each_other(count, monkeypatch):
    saved, save = [], Figure.savefig
    monkeypatch.setattr("recipes.compare.picture.Figure", Figure)
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (saved.append(f), save(f, *a, **k)))
    for number in range(count):
        for seed in range(2):
            values = [0.1, 0.7 - 0.01 * number, 0.9 - 0.02 * number - 0.005 * seed]
            settings = {"seed_everything": seed, "model": {"temperature": number}}
            write_run(f"{number}-{seed}", values, settings)
    draw(ranked(read(["runs"]), "val/accuracy")[1], "val/accuracy", Path("compare.png"))
    assert Path("compare.png").stat().st_size > 10_000
    *panels, final = saved[0].axes
    assert len(panels) == (1 if count == 2 else count)
    assert all(len(axes.collections) <= 5 for axes in panels)
    for axes in panels:
        low, high = axes.get_ylim()
        assert low < 0.1 and high > 0.9 and axes.get_xlim()[0] <= 0, "nothing is cut off"
    assert panels[0].get_ylabel() == final.get_xlabel() == "accuracy (share)"
    assert panels[-1].get_xlabel() == "epochs"
    labels = final.get_yticklabels()
    assert len({label.get_color() for label in labels}) == count, "told by colour"
