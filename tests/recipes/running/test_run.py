"""A run's files: what W&B and the metrics file keep, and that a killed run resumes identically."""

import json
import signal
import subprocess
import sys
import time
from enum import StrEnum
from pathlib import Path
from pickle import UnpicklingError

import pytest
import torch
from jsonargparse import Namespace
from jsonargparse.typing import PositiveFloat
from lightning.pytorch import Callback

import recipes.running.assembly
from callbacks import KeyedNoise
from forks import Forked, until
from marks import slow
from recipes.compare.tracked import try_records
from recipes.parts.checkpoints import plain
from recipes.parts.keys import dotted
from recipes.running.files import AtomicCheckpointIO
from recipes.running.rows import rewind
from recipes.running.run import Run
from trains import interrupt_after, middle_of_epoch, rows

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=4")


def inspected(stored):
    """What W&B has of a run, by its own reader."""
    command = [Path(sys.executable).parent / "wandb", "leet", "inspect", "--summary", "--json"]
    done = subprocess.run([*command, stored], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_wandb_runs_offline_and_is_read_back(recipe, monkeypatch, capfd):
    monkeypatch.delenv("WANDB_MODE")
    recipe("distill", "fit", "--seed_everything=5", *SHORT)
    folder = Path("runs/distill/digits-1")
    (stored,) = folder.glob("wandb/offline-run-*")
    found = inspected(stored)

    facts = json.loads((folder / "run.json").read_text())
    config = found["config"]
    assert facts["finished"] and facts["samples"] == 256 and 0 < facts["seconds"] < 60
    settings = facts.pop("settings")
    assert config == settings | dotted({"run": facts}), "each fact and setting under its own key"
    expected = {"group", "job_type", "tags", "seed", "commit", "dirty", "versions", "hardware"}
    assert expected | {"command", "parameters", "config_hash"} <= facts.keys()
    assert facts["parameters"] == {"total": 68198, "trained": 68198}
    assert config["seed_everything"] == facts["seed"] == 5
    assert config["model.temperature"] == 4 and config["trainer.max_epochs"] == 1
    assert config["trainer.callbacks.LRDecay.schedule"] == "cosine"
    text = json.dumps(found)
    for value in ('"distill"', '"digits"', '"digits-1"', facts["wandb_id"]):
        assert value in text, "group, job type, name and id"
    last = rows(folder)[-1]
    accuracy = pytest.approx(last["val/accuracy"])
    assert found["summary"]["val/accuracy"] == {"last": accuracy, "max": accuracy}
    assert last["samples"] == 256, "of validation's row too"
    (file,) = stored.glob("*.wandb")
    metrics = [r["metric"] for r in try_records(file) if r["type"] == "metric"]
    axes = {metric.get("name"): metric.get("step_metric") for metric in metrics}
    assert axes["val/accuracy"] == "epoch" and axes["train/loss"] == "trainer/global_step"
    output = capfd.readouterr()
    assert "wandb" not in output.out + output.err, "nothing is asked and nothing is advertised"


def test_runs_compare_by_group_and_job_type(monkeypatch):
    run = Run(
        Path("runs/distill/digits-1"),
        {"group": "mine", "job_type": "digits", "tags": ["distill"], "wandb_id": "a"},
    )
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb, metrics = run.loggers(Namespace(trainer=Namespace(logger=None, barebones=False)), "fit")
    assert wandb.dict_kwargs["group"] == "mine" and wandb.dict_kwargs["job_type"] == "digits"
    assert wandb.init_args.save_dir == "runs/distill/digits-1" and wandb.init_args.id == "a"
    assert metrics.init_args.path == "runs/distill/digits-1/metrics.jsonl"


@pytest.mark.slow
def test_loggers_are_overridden_as_lightning_users_expect(recipe):
    flags = ("--trainer.logger=CSVLogger", "--trainer.logger.save_dir=elsewhere")
    recipe("distill", "fit", *flags, *SHORT)
    assert list(Path("elsewhere").rglob("metrics.csv"))
    assert rows(Path("runs/distill/digits-1"))[-1]["val/accuracy"] >= 0
    assert not list(Path("runs").rglob("wandb"))
    recipe("distill", "fit", "--trainer.logger=false", *SHORT)
    assert not list(Path("runs/distill/digits-2").glob("*.jsonl"))
    flags = ("--trainer.logger=WandbLogger", "--trainer.logger.project=mine")
    recipe("distill", "fit", *flags, *SHORT)


LONG = (
    "--trainer.max_epochs=4",
    "--trainer.log_every_n_steps=1",
    "--model.student=MLP",
    "--model.student.inputs=64",
    "--model.student.widths=[16]",
    "--model.student.dropout=0.3",
    "--model.teacher.channels=[4,8]",
    "--data.shift=1",
)
MID_EPOCH = middle_of_epoch("runs/distill/cut")


def state(name):
    path = Path("runs/distill", name, "checkpoints/last.ckpt")
    return torch.load(path, weights_only=True)["state_dict"]


def assert_identical(one, two):
    assert all(torch.equal(state(one)[key], value) for key, value in state(two).items())
    assert rows(Path("runs/distill", one)) == rows(Path("runs/distill", two))


@pytest.mark.parametrize(
    "extra",
    [
        slow(()),
        slow(("--trainer.accumulate_grad_batches=2",)),
        slow(("--trainer.precision=64-true",)),
    ],
)
def test_an_interrupted_run_resumes_from_its_last_epoch(recipe, monkeypatch, extra):
    recipe("distill", "fit", "--name=whole", *LONG, *extra)
    with monkeypatch.context() as patch:
        interrupt_after(20, patch)
        with pytest.raises(MemoryError):
            recipe("distill", "fit", "--name=cut", *LONG, *extra)
    assert rows(Path("runs/distill/cut")) != rows(Path("runs/distill/whole"))
    recipe("distill", "fit", "--ckpt_path=runs/distill/cut/checkpoints/last.ckpt")
    assert_identical("cut", "whole")


def test_an_interrupted_run_resumes_from_the_middle_of_an_epoch(recipe, monkeypatch):
    recipe("distill", "fit", "--name=whole", *LONG)
    with monkeypatch.context() as patch:
        interrupt_after(43, patch)
        with pytest.raises(MemoryError):
            recipe("distill", "fit", "--name=cut", *LONG, *MID_EPOCH)
    recipe("distill", "fit", "--ckpt_path=runs/distill/cut/checkpoints/middle.ckpt")
    assert_identical("cut", "whole")


@pytest.mark.slow
def test_without_keyed_noise_a_resumed_run_differs(recipe, monkeypatch):
    """The negative control: dropout from the generator's running state."""

    class Nothing(Callback):
        pass

    others = [default for default in recipes.running.assembly.DEFAULTS if default is not KeyedNoise]
    monkeypatch.setattr(recipes.running.assembly, "DEFAULTS", (Nothing, *others))
    recipe("distill", "fit", "--name=whole", *LONG)
    with monkeypatch.context() as patch:
        interrupt_after(20, patch)
        with pytest.raises(MemoryError):
            recipe("distill", "fit", "--name=cut", *LONG)
    recipe("distill", "fit", "--ckpt_path=runs/distill/cut/checkpoints/last.ckpt")
    assert any(not torch.equal(state("cut")[key], value) for key, value in state("whole").items())


def test_a_killed_process_resumes(recipe, monkeypatch):
    """SIGKILL at a random moment; what it leaves is resumed to the same rows and weights."""
    small = ["--model.network=MLP", "--model.network.inputs=64", "--model.network.widths=[16]"]
    small += ["--trainer.max_epochs=30", "--trainer.callbacks+=EMA"]
    small += ["--trainer.callbacks.module=network", "--trainer.callbacks+=OptimizerStats"]
    recipe("classify", "fit", "--name=whole", *small)
    process = Forked("recipes.classify", "fit", "--name=cut", *small)
    folder = Path("runs/classify/cut")
    until((folder / "checkpoints/last.ckpt").exists)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(rows(folder)) < len(rows(Path("runs/classify/whole")))
    recipe("classify", "fit", f"--ckpt_path={folder}/checkpoints/last.ckpt")
    assert rows(folder) == rows(Path("runs/classify/whole"))


def test_a_terminated_process_says_so():
    process = Forked("recipes.classify", "fit", "--trainer.max_epochs=500")
    until(Path("runs/classify/digits-1/metrics.jsonl").exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143


def test_a_checkpoint_is_replaced_only_by_a_complete_one(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    saver = AtomicCheckpointIO()
    saver.save_checkpoint({"step": 1}, path)

    def killed(checkpoint, file):
        Path(file).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        saver.save_checkpoint({"step": 2}, path)
    monkeypatch.undo()
    assert torch.load(path, weights_only=True) == {"step": 1}


class Mode(StrEnum):
    FAST = "fast"


class Named(str):
    """A str of a class of its own, as the command line's restricted types are."""


def test_a_checkpoint_holds_plain_values(tmp_path):
    """The negative control: what torch.save writes does not load again."""
    assert plain({"mode": Mode.FAST})["mode"] is Mode.FAST, "which has a value of its own"
    content = {"lr": PositiveFloat(0.5), "betas": (0.9, PositiveFloat(0.5)), "on": True}
    content |= {"groups": [{"name": Named("one"), "weight": torch.ones(2)}], "none": None}
    torch.save(content, tmp_path / "stock.ckpt")
    with pytest.raises(UnpicklingError):
        torch.load(tmp_path / "stock.ckpt", weights_only=True)
    AtomicCheckpointIO().save_checkpoint(content, tmp_path / "plain.ckpt")
    saved = torch.load(tmp_path / "plain.ckpt", weights_only=True)
    assert saved["lr"] == 0.5 and saved["betas"] == (0.9, 0.5) and saved["on"] is True
    assert saved["groups"][0]["name"] == "one" and saved["none"] is None


def test_rewinding_drops_what_is_trained_again_and_what_was_cut_off(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "a": 1}\n{"step": 2, "a": 2}\n{"step": 3, "a')
    before = path.read_text()
    rewind(path, 2)
    assert path.read_text() == '{"step": 1, "a": 1}\n'
    (kept,) = tmp_path.glob("*.bak")
    assert kept.read_text() == before
    rewind(tmp_path / "nothing.jsonl", 2)


def test_a_resumed_run_takes_a_changed_learning_rate_and_says_so(recipe):
    small = ("--model.network=MLP", "--model.network.inputs=64", "--model.network.widths=[16]")
    recipe("classify", "fit", "--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", *small)
    folder = Path("runs/classify/digits-1")
    resume = f"--ckpt_path={folder}/checkpoints/last.ckpt"
    recipe("classify", "fit", resume, "--trainer.max_epochs=3", "--model.optimizer.lr=0.5")
    rates = [row["lr/Adam"] for row in rows(folder) if "lr/Adam" in row]
    assert max(rates[:32]) <= 0.01 < 0.1 < max(rates[32:]) <= 0.5, "in the last third of a cosine"
    facts = json.loads((folder / "run.json").read_text())
    assert "lr=0.5" in facts["continued"][0]["command"] and "lr=0.5" not in facts["command"]


def test_a_run_that_cannot_be_resumed_stays_as_it_was(recipe):
    recipe("classify", "fit", "--trainer.max_epochs=1")
    folder = Path("runs/classify/digits-1")
    names = ("metrics.jsonl", "config.yaml", "run.json", "checkpoints/last.ckpt")
    before = [(folder / name).read_bytes() for name in names]
    with pytest.raises(ValueError, match=r"channels=\[3, 3\], but the run was trained with"):
        resume = f"--ckpt_path={folder}/checkpoints/last.ckpt"
        recipe("classify", "fit", resume, "--model.network.channels=[3,3]")
    assert [(folder / name).read_bytes() for name in names] == before


NAMES = ("config.yaml", "run.json")
MLP = ("--model.network=MLP", "--model.network.inputs=64", "--model.network.widths=[16]")


@pytest.mark.parametrize("batches", [slow(16), 20])
def test_a_run_whose_resume_fails_keeps_its_settings(recipe, monkeypatch, batches):
    """In the first batch, or some later; unless a checkpoint has been saved with the new ones."""
    recipe("classify", "fit", "--name=a", "--trainer.max_epochs=1", *MLP)
    folder = Path("runs/classify/a")
    before = [(folder / name).read_bytes() for name in (*NAMES, "metrics.jsonl")]
    resume = ("classify", "fit", f"--ckpt_path={folder}/checkpoints/last.ckpt")
    changed = ("--trainer.max_epochs=3", "--model.optimizer.lr=0.5")
    if batches == 16:
        with pytest.raises(ValueError, match="was trained with Adam"):
            recipe(*resume, *changed, "--model.optimizer=SGD")
        assert (folder / "metrics.jsonl").read_bytes() == before[2]
        assert not list(folder.glob("*.bak"))
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        interrupt_after(batches + 1, patch)
        recipe(*resume, *changed)
    assert [(folder / name).read_bytes() for name in NAMES] == before[:2]
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        interrupt_after(40, patch)
        recipe(*resume, *changed)
    assert "max_epochs: 3" in (folder / "config.yaml").read_text()
    recipe(*resume)
    facts = json.loads((folder / "run.json").read_text())
    assert [("lr=0.5" in each["command"]) for each in facts["continued"]] == [True, False]
    assert facts["settings"]["trainer.max_epochs"] == 3 and facts["finished"]


@pytest.mark.slow
def test_the_same_name_starts_a_run_anew_that_was_killed_before_its_first_checkpoint(recipe):
    flags = ("--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", *MLP)
    flags += ("--trainer.callbacks+=kills.Kill", "--trainer.callbacks.rank=0")
    command = ("fit", "--name=a", *flags, "--trainer.callbacks.step=9")
    folder = Path("runs/classify/a")
    assert Forked("recipes.classify", *command).wait() == -signal.SIGKILL
    (folder / "mine.txt").write_text("mine")
    assert len(rows(folder)) == 9 and (folder / ".lock").exists()
    before = [(folder / name).read_bytes() for name in (*NAMES, "metrics.jsonl")]
    for other in ("--model.optimizer.lr=0.5", "--seed_everything=3"):
        with pytest.raises(FileExistsError, match="runs/classify/a exists; choose another name"):
            recipe("classify", *command, other)
    with pytest.raises(FileExistsError, match="a exists"):
        recipe("classify", "validate", "--name=a", f"--ckpt_path={lone_checkpoint(recipe)}")
    assert [(folder / name).read_bytes() for name in (*NAMES, "metrics.jsonl")] == before
    recipe("classify", *command)
    recipe("classify", "fit", "--name=whole", *flags, "--trainer.callbacks.step=-1")
    assert rows(folder) == rows(Path("runs/classify/whole"))
    facts, old = json.loads((folder / "run.json").read_text()), json.loads(before[1])
    assert facts["wandb_id"] == old["wandb_id"] and facts["process"] != old["process"]
    assert facts["finished"] and "continued" not in facts
    assert (folder / "mine.txt").exists()
    (kept,) = folder.glob("metrics.jsonl.*.bak")
    assert kept.read_bytes() == before[2]
    with pytest.raises(FileExistsError, match="or resume it: --ckpt_path"):
        recipe("classify", *command)


def lone_checkpoint(recipe):
    recipe("classify", "fit", "--name=other", "--trainer.max_epochs=1", *MLP)
    return Path("runs/classify/other/checkpoints/last.ckpt").rename("lone.ckpt")


def test_a_folder_of_something_else_is_no_run_to_start_anew(recipe):
    folder = Path("runs/classify/a")
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="a exists"):
        recipe("classify", "fit", "--name=a", *SHORT, *MLP)
    (folder / "mine.txt").unlink()  # an empty one, of a process that was killed at once, is
    recipe("classify", "fit", "--name=a", *SHORT, *MLP)
    with pytest.raises(ValueError, match="is not a YAML"):
        recipe("classify", "fit", "--name=b", f"--config={__file__}")
    with pytest.raises(ValueError, match=r"--data.batch_size=5000 does not fit"):
        recipe("classify", "fit", "--name=b", "--data.batch_size=5000")
    assert not Path("runs/classify/b").exists()


@pytest.mark.slow
def test_a_checkpoint_is_its_run_s_wherever_in_it_it_lies(recipe):
    """Lightning's own place without this command line; SLURM's in the folder itself."""
    best = ("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=val/loss")
    best += ("--trainer.callbacks.dirpath=runs/classify/a/project/id/checkpoints",)
    recipe("classify", "fit", "--name=a", "--trainer.max_epochs=2", *best, *MLP)
    folder = Path("runs/classify/a")
    (deep,) = set(folder.rglob("*.ckpt")) - {*folder.glob("checkpoints/*")}
    assert len(deep.relative_to(folder).parts) == 4
    slurms = folder / "hpc_ckpt_1.ckpt"
    slurms.write_bytes((folder / "checkpoints/last.ckpt").read_bytes())
    for path in (deep, slurms):
        recipe("classify", "test", f"--ckpt_path={path}")
        assert rows(folder, "test")[-1]["checkpoint"] == str(path)
    recipe("classify", "fit", f"--ckpt_path={deep}", "--trainer.max_epochs=3")
    assert [found.name for found in Path("runs/classify").iterdir()] == ["a"]
    steps = [row["step"] for row in rows(folder)]
    assert steps == sorted(steps) and steps[-1] == 47
    config = (folder / "config.yaml").read_text()
    assert "monitor: val/loss" in config and "LRDecay" in config, "its callbacks are kept"
    further = folder / "one/two/three/four"
    further.mkdir(parents=True)
    stranger = further / "last.ckpt"
    stranger.write_bytes(slurms.read_bytes())
    recipe("classify", "test", f"--ckpt_path={stranger}")
    assert len(list(Path("runs/classify").iterdir())) == 2, "too far away to be its"


def test_a_run_that_fails_at_its_start_leaves_no_folder_that_it_made(recipe):
    Path("mine").mkdir()
    for root in ("mine", "new/one"):
        with pytest.raises(ValueError, match="EMA's module=nothing"):
            ema = ("--trainer.callbacks+=EMA", "--trainer.callbacks.module=nothing")
            recipe("classify", "fit", f"--trainer.default_root_dir={root}", *ema)
    assert [path.name for path in Path().iterdir()] == ["mine"], "which was there"
    assert not list(Path("mine").iterdir())


def test_an_interrupted_run_without_metrics_keeps_its_checkpoints(recipe, monkeypatch):
    interrupt_after(20, monkeypatch)
    with pytest.raises(MemoryError):
        recipe("classify", "fit", "--trainer.max_epochs=3", "--trainer.logger=false")
    assert Path("runs/classify/digits-1/checkpoints/last.ckpt").exists()


def test_an_empty_mode_of_wandb_is_none(recipe, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "")
    recipe("classify", "fit", *SHORT)
    assert list(Path("runs/classify/digits-1").glob("wandb/offline-run-*"))


def test_in_a_sweep_the_agent_finds_its_result(recipe, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.setenv("WANDB_RUN_ID", "ofagent1")
    recipe("classify", "fit", "--name=trial", *SHORT)
    (stored,) = Path("runs/classify/trial").glob("wandb/offline-run-*-ofagent1")
    summary = inspected(stored)["summary"]
    assert summary["val/accuracy"] == pytest.approx(rows(stored.parents[1])[-1]["val/accuracy"]), (
        "a number, which W&B optimizes, not best and last"
    )
