"""Studies by the command line: files, table, W&B runs, evaluation and resume."""

import csv
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from datamodules import Diabetes, Tabular
from forks import ended_well, ranks
from trains import interrupt_after

RUN = ("--trainer.max_epochs=8", "--model.seeds=[0,1]", "--model.search=Grid")
GRID = "--model.search.learning_rate=[0.001,0.01,0.1,1000]"


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_command_line_leaves_table_picture_and_members(recipe, capsys, monkeypatch):
    figures, save = [], Figure.savefig
    monkeypatch.setattr("recipes.study.picture.Figure", Figure)
    monkeypatch.setattr(Figure, "savefig", lambda f, *a, **k: (figures.append(f), save(f, *a, **k)))
    recipe("study", "fit", *RUN, GRID)
    folder = Path("runs/study/diabetes-1")
    rows = read(folder / "members.csv")
    assert len(rows) == 9 * 4 * 2
    table, printed = (folder / "table.md").read_text(), capsys.readouterr().out
    assert table in printed
    (edge,) = [line for line in printed.splitlines() if "at the edge of the rates" in line]
    chosen = {row["optimizer"]: float(row["learning_rate"]) for row in read(folder / "chosen.csv")}
    assert edge.split(": ")[1].split(", ") == [
        name for name, rate in chosen.items() if rate in (0.001, 1000)
    ]
    chosen = read(folder / "chosen.csv")
    assert len(chosen) == len({row["optimizer"] for row in rows}) == 9
    for choice in chosen:
        means = {}
        for row in rows:
            if row["optimizer"] == choice["optimizer"]:
                score = math.inf if row["diverged"] == "1" else float(row["val/rmse"])
                means.setdefault(row["learning_rate"], []).append(score)
        best = min(means, key=lambda rate: sum(means[rate]))
        assert choice["learning_rate"] == best
        assert float(choice["score"]) == pytest.approx(sum(means[best]) / 2)
    with np.load(folder / "history.npz") as history:
        assert history["0/val/rmse"].shape == (8, 72)
    assert (folder / "study.png").stat().st_size > 20_000
    curves, panels = figures[0].axes[:3], figures[0].axes[3:]
    assert len(panels) == 9 and all(len(panel.collections) == 1 for panel in panels)
    low, high = curves[0].get_ylim()
    shown = [value for line in curves[0].lines for value in line.get_ydata()]
    assert low < min(shown) and max(shown) < high, "the beginning is not cut off"
    labels = [axes.get_xlabel() for axes in (*curves, panels[-1])]
    assert labels == ["epochs", "evaluations", "seconds, a member's share", "learning rate"]
    assert curves[0].get_ylabel() == panels[0].get_ylabel() == "rmse (the target's unit)"


@pytest.mark.slow
def test_a_tested_study_is_its_chosen_members_and_their_ensemble(recipe):
    recipe("study", "fit", *RUN, GRID)
    folder = Path("runs/study/diabetes-1")
    recipe("study", "test", f"--ckpt_path={folder}/checkpoints/last.ckpt")
    rows = [row for row in read(folder / "test.csv") if row["optimizer"] == "Adam"]
    assert [row["seed"] for row in rows] == ["0", "1", "ensemble"]
    (chosen,) = [row for row in read(folder / "chosen.csv") if row["optimizer"] == "Adam"]
    # The same by recipes.regress, one by one.
    rate, found = float(chosen["learning_rate"]), []
    Path("alone.yaml").write_text(
        "model:\n"
        "  network: {class_path: MLP, init_args: {inputs: 10, widths: [50], outputs: 1}}\n"
        f"  optimizer: {{class_path: Adam, init_args: {{lr: {rate}}}}}\n"
        "data: {class_path: Diabetes}\n"
        "trainer: {max_epochs: 8, callbacks: [Threads, LRDecay]}\n"
    )
    for seed in (0, 1):
        flags = (f"--seed_everything={seed}", f"--name=alone-{seed}")
        recipe("regress", "fit", "--config=alone.yaml", *flags)
        recipe("regress", "test", f"--ckpt_path=runs/regress/alone-{seed}/checkpoints/last.ckpt")
        tested = Path(f"runs/regress/alone-{seed}/test.jsonl").read_text()
        found.append(json.loads(tested.splitlines()[-1]))
    for row, alone_ in zip(rows, found, strict=False):
        for key in ("rmse", "mae", "nll"):
            assert float(row[key]) == pytest.approx(alone_[f"test/{key}"], rel=1e-4)
    assert float(rows[2]["rmse"]) < max(float(row["rmse"]) for row in rows[:2])


@pytest.mark.slow
def test_what_was_chosen_can_be_trained_again(recipe):
    """On other seeds and all training rows: each split's own setting, and no other."""
    Path("two.yaml").write_text(
        "model: {schedules: {warm: {class_path: LRDecay, init_args: {warmup: 20%}}, "
        "cosine: {class_path: LRDecay}}, splits: [0, 1], choose: per_split}"
    )
    both = ("--config=diabetes", "--config=two.yaml")
    recipe("study", "fit", *both, *RUN, GRID, "--name=first")
    study = ("--model.search=Chosen", "--model.search.study=runs/study/first")
    more = ("--model.seeds=[5,6,7]", "--data.val_size=0", "--trainer.max_epochs=2")
    recipe("study", "fit", *both, *study, *more, "--name=second")
    rows = read(Path("runs/study/second/members.csv"))
    chosen = read(Path("runs/study/first/chosen.csv"))
    assert len(chosen) == 9 * 2 and len(rows) == len(chosen) * 3
    assert {row["schedule"] for row in chosen} == {"warm", "cosine"}
    for row in rows:
        (choice,) = [
            c for c in chosen if (c["optimizer"], c["split"]) == (row["optimizer"], row["split"])
        ]
        for key in ("learning_rate", "schedule"):
            assert row[key] == choice[key]


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        (),
        pytest.param(("--model.halving=2", "--model.rungs=2"), marks=pytest.mark.slow),
        pytest.param(("--model.search=Bayes",), marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_study_ends_as_an_uninterrupted_one(flags, recipe, monkeypatch):
    if "--model.search=Bayes" in flags:
        search = ("--model.search=Bayes", "--model.search.rounds=4", "--model.search.trials=3")
    else:
        search = ("--model.search=Grid", GRID, *flags)
    common = ("--model.seeds=[0,1]", *search)
    recipe("study", "fit", *common, "--trainer.max_epochs=8", "--name=whole")
    keep = (
        "--trainer.callbacks+=ModelCheckpoint",
        "--trainer.callbacks.every_n_train_steps=4",
        "--trainer.callbacks.dirpath=kept",
        "--trainer.callbacks.filename={step}",
    )
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        interrupt_after(46, patch)
        recipe("study", "fit", *common, "--trainer.max_epochs=8", "--name=cut", *keep)
    # From the middle of epoch 6, and from the end of epoch 5.
    for name, saved in (("middle", "kept/step=44.ckpt"), ("end", "last.ckpt")):
        shutil.copy("runs/study/cut/checkpoints/last.ckpt", "last.ckpt")
        resumed = ("--config=runs/study/cut/config.yaml", f"--name={name}-resumed")
        recipe("study", "fit", f"--ckpt_path={saved}", *resumed)
        one, two = (
            torch.load(f"runs/study/{run}/checkpoints/last.ckpt", weights_only=True)
            for run in ("whole", f"{name}-resumed")
        )
        assert one["state_dict"].keys() == two["state_dict"].keys()
        for key, value in one["state_dict"].items():
            assert torch.equal(value, two["state_dict"][key]), (name, key)
        for mine, other in zip(one["study"]["records"], two["study"]["records"], strict=True):
            assert mine["members"] == other["members"]
            assert torch.equal(mine["lost"], other["lost"])
            assert torch.equal(mine["first"], other["first"])
            for key, rows in mine["series"].items():
                if key != "seconds":
                    torch.testing.assert_close(
                        rows, other["series"][key], rtol=0, atol=0, equal_nan=True
                    )


@pytest.mark.slow
def test_a_target_is_reached_where_the_record_says(recipe):
    flags = ("--model.target=60", "--data.split=0")
    recipe("study", "fit", *RUN, GRID, *flags)
    folder = Path("runs/study/diabetes-1")
    with np.load(folder / "history.npz") as history:
        found = history["0/val/rmse"]
    table = (folder / "table.md").read_text().splitlines()
    header = [cell.strip() for cell in table[0].split("|")]
    assert {"epochs to 60", "evaluations to 60", "seconds to 60"} <= set(header)
    members_ = read(folder / "members.csv")
    for line in table[2:]:
        row = dict(zip(header, [cell.strip() for cell in line.split("|")], strict=True))
        (chosen,) = [c for c in read(folder / "chosen.csv") if c["optimizer"] == row["optimizer"]]
        ids = [
            int(m["member"])
            for m in members_
            if (m["optimizer"], m["learning_rate"]) == (row["optimizer"], chosen["learning_rate"])
        ]
        curves = found[:, ids]
        first = [1 + int(np.argmax(c <= 60)) for c in curves.T if (c <= 60).any()]
        if len(first) == len(ids):
            mean = float(row["epochs to 60"].split(" ")[0])
            assert mean == pytest.approx(sum(first) / len(first), rel=1e-2)
            evaluations = float(row["evaluations to 60"].split(" ")[0])
            assert evaluations == pytest.approx(8 * mean, rel=1e-2), "8 batches an epoch"
        else:
            assert f"({len(ids) - len(first)} of {len(ids)} never)" in row["epochs to 60"]


@pytest.mark.slow
def test_wandb_has_a_run_for_each_optimizer_in_one_group(recipe, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    recipe("study", "fit", *RUN, GRID, "--name=mine")
    folder = Path("runs/study/mine")
    stored = list(folder.glob("wandb/offline-run-*"))
    assert len(stored) == 10, "nine optimizers and the study itself"
    (adam,) = folder.glob("wandb/offline-run-*-Adam")
    command = [Path(sys.executable).parent / "wandb", "leet", "inspect", "--summary", "--json"]
    done = subprocess.run([*command, adam], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["name"] == "mine/Adam"
    for run in stored:
        if run != adam and run.name.count("-") == 5:
            (file,) = run.glob("*.wandb")
            assert b"study/mine" in file.read_bytes(), "the group"
    (chosen,) = [c for c in read(folder / "chosen.csv") if c["optimizer"] == "Adam"]
    assert found["config"]["run.choices"][0]["learning_rate"] == float(chosen["learning_rate"])
    assert {"run.seed", "run.commit", "run.config_hash"} <= found["config"].keys()
    rows = [r for r in read(folder / "members.csv") if r["optimizer"] == "Adam"]
    last = [float(r["val/rmse"]) for r in rows if r["learning_rate"] == chosen["learning_rate"]]
    assert found["summary"]["val/rmse"]["last"] == pytest.approx(sum(last) / len(last), rel=1e-4)
    # Trained on: the rows of the first fit are not in a run twice.
    resume = f"--ckpt_path={folder}/checkpoints/last.ckpt"
    recipe("study", "fit", resume, "--trainer.max_epochs=9")
    ids = {run.name.split("-", 3)[3] for run in folder.glob("wandb/offline-run-*-Adam")}
    assert len(ids) == 2


@pytest.mark.slow
def test_predictions_are_of_the_chosen_ensembles(recipe):
    recipe("study", "fit", *RUN, GRID)
    folder = Path("runs/study/diabetes-1")
    checkpoint = f"--ckpt_path={folder}/checkpoints/last.ckpt"
    for command in ("validate", "test", "predict"):
        recipe("study", command, checkpoint)
    rows = read(folder / "predictions.csv")
    assert len(rows) == 88
    (ensemble,) = [
        row
        for row in read(folder / "test.csv")
        if (row["optimizer"], row["seed"]) == ("Adam", "ensemble")
    ]
    error = [float(row["target"]) - float(row["Adam"]) for row in rows]
    assert math.sqrt(sum(e * e for e in error) / 88) == pytest.approx(float(ensemble["rmse"]))
    data = Diabetes()
    data.setup("test")
    targets = data.splits(0).test.targets * data.target_std + data.target_mean
    assert [float(row["target"]) for row in rows] == pytest.approx(targets.tolist(), rel=1e-5)


@pytest.mark.slow
def test_a_table_of_ones_own_is_predicted_by_row(recipe):
    """The rows held out, and others, by the members of --data.split alone."""
    lines = ["x,z,y", *(f"{i % 9},{i * i % 11},{i % 9 + i * i % 11 + 5}" for i in range(80))]
    Path("mine.csv").write_text("\n".join(lines))
    Path("new.csv").write_text("\n".join(["z,x", *(f"{i * i % 11},{i % 9}" for i in range(80))]))
    table = ("--data=Tabular", "--data.path=mine.csv", "--data.batch_size=16")
    recipe("study", "fit", *RUN, GRID, *table, "--model.splits=[0,1]", "--name=a")
    folder = Path("runs/study/a")
    checkpoint = f"--ckpt_path={folder}/checkpoints/last.ckpt"
    recipe("study", "test", checkpoint)
    recipe("study", "predict", checkpoint)
    rows = read(folder / "predictions.csv")
    data = Tabular("mine.csv")
    assert [int(row["row"]) for row in rows] == data.rows_of(0)[2].tolist()
    (ensemble,) = [
        row
        for row in read(folder / "test.csv")
        if (row["optimizer"], row["seed"], row["split"]) == ("Adam", "ensemble", "0")
    ]
    errors = [float(row["target"]) - float(row["Adam"]) for row in rows]
    rmse = math.sqrt(sum(e * e for e in errors) / len(errors))
    assert rmse == pytest.approx(float(ensemble["rmse"]), rel=1e-5)
    recipe("study", "predict", checkpoint, "--data.predict=new.csv")
    new = read(folder / "predictions.csv")
    assert len(new) == 80 and "target" not in new[0]
    for row in rows:
        again = float(new[int(row["row"])]["Adam"])
        assert again == pytest.approx(float(row["Adam"]), rel=1e-5)


@pytest.mark.slow
def test_one_process_and_two_train_the_same_members(tmp_path, recipe):
    """Batches of 16 on two processes are batches of 32 on one."""
    flags = ("--model.seeds=[0,1]", "--trainer.max_epochs=2", "--model.search=Grid", GRID)
    recipe("study", "fit", *flags, "--name=one")
    two = ("--trainer.devices=2", "--trainer.strategy=ddp", "--data.batch_size=16", "--name=two")
    ended_well(*ranks(2, "recipes.study", "fit", *flags, *two))
    one, two = (
        torch.load(tmp_path / f"runs/study/{run}/checkpoints/last.ckpt", weights_only=True)
        for run in ("one", "two")
    )
    lost = one["study"]["records"][0]["lost"]
    assert torch.equal(lost, two["study"]["records"][0]["lost"])
    for key, rows in one["study"]["records"][0]["series"].items():
        if key.startswith("val/"):
            torch.testing.assert_close(
                rows[:, ~lost],
                two["study"]["records"][0]["series"][key][:, ~lost],
                rtol=1e-3,
                atol=1e-3,
            )


def test_a_study_all_of_whose_members_diverge_has_nothing_to_choose_from(recipe):
    only = ("--model.optimizers={SGD: SGD}", "--model.search.learning_rate=[1e30]")
    with pytest.raises(FloatingPointError, match=r"^every member has diverged: give --model.sear"):
        recipe("study", "fit", "--model.search=Grid", *only, "--trainer.max_epochs=1")
    assert not Path("runs/study/diabetes-1/table.md").exists()


def test_the_table_counts_what_diverged_by_optimizer(recipe):
    grid = '--model.search.learning_rate={"SGD": [0.01, 1e30], "Adam": [0.01]}'
    Path("two.yaml").write_text(
        "model:\n"
        "  network: {class_path: MLP, init_args: {inputs: 10, widths: [8], outputs: 1}}\n"
        "  optimizers: {SGD: {class_path: SGD}, Adam: {class_path: Adam}}\n"
        "data: {class_path: Diabetes}\n"
    )
    recipe("study", "fit", "--config=two.yaml", *RUN, grid, "--name=mine")
    lines = Path("runs/study/mine/table.md").read_text().splitlines()
    assert [line.split("|")[-2].strip() for line in lines[2:]] == ["2 of 4", "0 of 2"]


@pytest.mark.slow
def test_a_study_is_not_resumed_or_evaluated_as_another(recipe):
    flags = ("--model.splits=[0,1]", "--model.halving=2", "--name=mine")
    recipe("study", "fit", *RUN, GRID, *flags)
    checkpoint = "--ckpt_path=runs/study/mine/checkpoints/last.ckpt"
    for command, *given in (
        ("fit", "--model.search=Random", "--model.search.learning_rate=[0.001,1]"),
        ("fit", "--model.seeds=[0]"),
        ("test", "--model.splits=[0]"),
        ("test", "--model.loss=mae"),
    ):
        option = given[0].split("=")[0]
        said = rf"{option}(=.*, but the run was trained| differs from that of the study)"
        with pytest.raises(ValueError, match=said):
            recipe("study", command, checkpoint, *given)
    with pytest.raises(ValueError, match=r"--trainer\.max_epochs differs"):
        recipe("study", "fit", checkpoint, "--trainer.max_epochs=20")
    recipe("study", "fit", checkpoint, "--model.target=50")  # another target is another table
    recipe("study", "predict", checkpoint, "--data.split=1")
    data = Diabetes(split=1)
    data.setup("test")
    targets = data.splits(1).test.targets * data.target_std + data.target_mean
    rows = read(Path("runs/study/mine/predictions.csv"))
    assert [float(row["target"]) for row in rows] == pytest.approx(targets.tolist(), rel=1e-5)
    with pytest.raises(ValueError, match=r"--data\.split=2: the study is of \[0, 1\]"):
        recipe("study", "predict", checkpoint, "--data.split=2")
