"""Several seeds by one command: the same rows as by single ones, and nothing is done twice."""

import json
import os
import platform
from pathlib import Path

import pytest

import recipes.compare.report
from recipes.running.lock import lock_of, locked
from recipes.seeds.__main__ import main, seed_list
from recipes.seeds.result import final, origin
from recipes.seeds.wanted import Wanted
from trains import interrupt_after, rows

SHORT = ("--trainer.max_epochs=2", "--trainer.limit_train_batches=4", "--model.network=MLP")
SHORT += ("--model.network.inputs=64", "--model.network.widths=[8]")
OWN = (*SHORT, "--data.split_seed={seed}")


@pytest.fixture
def seeds(monkeypatch, undrawn):
    """Runs the command in this process, and tells what it compares."""
    compared, whole = [], recipes.compare.report.compare

    def compare(folders, output):
        compared.extend(folders)
        whole(folders, output=output)

    monkeypatch.setattr("recipes.compare.report.compare", compare)
    monkeypatch.setenv("RECIPES_DEBUG", "1")

    def run(*args):
        compared.clear()
        main(["--recipe=classify", "--name=a", *args])
        return [Path(folder) for folder in compared]

    return run


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_seeds_train_and_resume_what_is_missing_to_the_same_rows(
    seeds, recipe, monkeypatch, capsys
):
    for seed in (0, 1):
        own = (f"--seed_everything={seed}", f"--data.split_seed={seed}", *SHORT)
        recipe("classify", "fit", f"--name=single-s{seed}", *own)
        checkpoint = f"runs/classify/single-s{seed}/checkpoints/last.ckpt"
        recipe("classify", "test", f"--ckpt_path={checkpoint}")
    with monkeypatch.context() as patch:
        interrupt_after(6, patch)
        with pytest.raises(MemoryError):
            recipe("classify", "fit", "--name=a-s1", "--group=a", *own)
    assert len(rows(Path("runs/classify/a-s1"))) < len(rows(Path("runs/classify/single-s1")))

    folders = seeds("--seeds=2", "--test", "--save=results/a.json", *OWN)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "a-s0, a-s1" in line]
    assert row.count(" ± ") == 5 and Path("runs/classify/a/compare.html").exists(), "with the test"
    assert [folder.name for folder in folders] == ["a-s0", "a-s1"]
    for folder in folders:
        single = Path("runs/classify", folder.name.replace("a", "single"))
        assert rows(folder) == rows(single)
        drop = {"checkpoint": None}
        assert rows(folder, "test")[0] | drop == rows(single, "test")[0] | drop
        assert json.loads((folder / "run.json").read_text())["group"] == "a"
    facts = [json.loads((folder / "run.json").read_text()) for folder in folders]
    assert [len(fact.get("continued", [])) for fact in facts] == [0, 1], "the second was resumed"
    assert not list(Path("runs").rglob("*.log"))

    result = json.loads(Path("results/a.json").read_text())
    assert result["seeds"] == [0, 1] and result["flags"] == list(OWN)
    assert result["config"] == ["digits"] and result["commit"] == facts[0]["commit"]
    for key in ("val/loss", "test/accuracy"):
        assert result[key] == [final(folder)[key] for folder in folders]
    assert result["val/loss"][0] != result["val/loss"][1]

    before = contents(Path("runs"))
    assert seeds("--seeds=0-1", "--test", "--save=results/b.json", *OWN) == folders
    assert contents(Path("runs")) == before, "nothing was done again"
    assert Path("results/b.json").read_text() == Path("results/a.json").read_text()

    with pytest.raises(
        ValueError, match=r"a-s0 was made with --model.label_smoothing=0.0, not 0.1"
    ):
        seeds("--seeds=2", "--model.label_smoothing=0.1", *OWN)
    said = f"--name=a: these runs are made by process {os.getpid()} on host {platform.node()}"
    with locked(Path("runs/classify/.a.lock"), "it"), pytest.raises(ValueError, match=said):
        seeds("--seeds=2", *OWN)
    assert contents(Path("runs")) == before


def test_a_seed_that_fails_is_named_and_the_others_go_on(seeds, capfd):
    diverges = ("--model.optimizer=SGD", "--model.optimizer.lr=1e{seed}0")  # 1e30 of the first
    with pytest.raises(SystemExit) as stop:
        seeds("--seeds=3,0", "--jobs=2", "--save=a.json", *diverges, *SHORT)
    assert stop.value.code == 1
    assert "a-s3: " in (said := capfd.readouterr().err) and "the loss is nan" in said
    assert Wanted("classify", "a-s0", ()).is_finished and not Path("a.json").exists()
    assert "the loss is nan" in Path("runs/classify/a-s3.log").read_text()


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("--seed=3",), "--seed: there is no such option; is it --seeds?"),
        (("--seeds=x",), "--seeds: x is neither a number, such as 5, nor 0-4, nor 3,7,9"),
        (("--seed_everything=3",), "--seed_everything=3: recipes.seeds sets it, see --seeds"),
        (("--recipe=nope",), "--recipe=nope: the recipes are classify, "),
        (("--name=a/b",), "--name=a/b: a name, not a path"),
        (("--jobs=0",), "--jobs=0: 1 or more"),
        (("--jobs=x",), "--jobs: invalid int value: 'x'"),
        (("--model.label_smoothing=2",), "--model.label_smoothing"),
        (("--config=nope",), "--config=nope: no such file; shipped: cifar100_"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(seeds, monkeypatch, args, line):
    monkeypatch.delenv("RECIPES_DEBUG")
    with pytest.raises(SystemExit) as stop:
        seeds(*args)
    message = str(stop.value.code)
    assert message.startswith("error: ") and line in message and "\n" not in message
    assert not Path("runs").exists()


def test_only_a_run_is_taken_for_one(seeds):
    """And a folder of something else is not removed."""
    mine = Path("runs/classify/a-s0/mine.txt")
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ValueError, match="a-s0 is not a run's folder"):
        seeds("--seeds=1", *SHORT)
    assert mine.read_text() == "mine"


def test_a_run_that_is_being_trained_is_left_alone():
    """It has no checkpoint yet, and would be taken for one that was cut off."""
    run = written("first", seed=0)
    with locked(*lock_of(run.folder)):
        with pytest.raises(ValueError, match=f"is trained by process {os.getpid()} on host"):
            run.remaining("fit")
        assert run.folder.exists()
    assert run.remaining("fit") == ["fit", "--name=first"]


def test_a_run_that_was_cut_off_before_its_first_checkpoint_is_trained_anew(
    seeds, recipe, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        interrupt_after(3, patch)
        recipe("classify", "fit", "--name=a-s0", "--group=a", *SHORT)
    assert not Path("runs/classify/a-s0/checkpoints").exists()
    (folder,) = seeds("--seeds=1", *SHORT)
    assert json.loads((folder / "run.json").read_text())["finished"]


def written(name, **facts):
    folder = Path("runs/classify", name)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(facts))
    return Wanted("classify", name, ())


def test_a_result_is_of_one_commit():
    one, two = (written(name, commit="a", dirty=False) for name in "12")
    assert origin([one, two])["commit"] == "a"
    for name, facts in {"3": {"commit": "b"}, "4": {"continued": [{"commit": "b"}]}}.items():
        other = written(name, **{"commit": "a", "dirty": False, **facts})
        with pytest.raises(ValueError, match=rf"classify/{name} was made with another commit"):
            origin([one, other])


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", [0, 1, 2]), ("2-4", [2, 3, 4]), ("7-7", [7]), ("3,9,3", [3, 9]), ("0", None)]
    + [(text, None) for text in ("4-2", "-1", "a", "1,", "")],
)
def test_seeds_are_a_number_or_themselves(text, seeds):
    if seeds is None:
        with pytest.raises(Exception, match="is neither a number"):
            seed_list(text)
    else:
        assert seed_list(text) == seeds
