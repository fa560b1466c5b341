"""The state of the best validation: which it is, what is exported of it, and after a cut."""

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.trainer.states import TrainerFn

import recipes.running.assembly
from callbacks import WritePredictions
from callbacks.best import BestCheckpoint, step_of
from forks import Forked
from marks import slow
from recipes.parts.networks import ConvNet
from trains import digits, interrupt_after, middle_of_epoch, rows

# At this rate the accuracy goes up and down.
JUMPY = ("--model.network.channels=[4]", "--model.optimizer.lr=0.1", "--trainer.max_epochs=5")
JUMPY += ("--trainer.callbacks+=LRDecay", "--trainer.callbacks.schedule=constant")
CHECKPOINTS = Path("runs/classify/a/checkpoints")


def fit(recipe, name="a", *flags):
    recipe("classify", "fit", f"--name={name}", *JUMPY, *flags)
    return Path("runs/classify", name)


def saved(folder, name="best"):
    return torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)


def accuracies(folder):
    return [row["val/accuracy"] for row in rows(folder) if "val/accuracy" in row]


def assert_equal(one, two, path=""):
    """Every number of two checkpoints, but for the time that they took and the paths."""
    if isinstance(one, dict):
        assert one.keys() == two.keys(), path
        for key in one.keys() - {"seconds", "dirpath"}:
            assert_equal(one[key], two[key], f"{path}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), path
        for number, pair in enumerate(zip(one, two, strict=True)):
            assert_equal(*pair, f"{path}.{number}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, two), path
    elif not (isinstance(one, str) and "/checkpoints" in one):
        assert one == two, path


def accuracy(state):
    network, data = ConvNet([4]), digits()
    network.load_state_dict(state)
    data.setup("fit")
    inputs, targets = map(torch.cat, zip(*data.val_dataloader(), strict=True))
    with torch.no_grad():
        logits = network.eval()(data.on_after_batch_transfer((inputs, targets), 0)[0])
    return (logits.argmax(1) == targets).float().mean().item()


@pytest.mark.parametrize("ema", [slow(()), ("EMA",)])
def test_it_is_the_best_validation_s_and_so_is_what_is_exported(recipe, ema, capsys):
    average = [f"--trainer.callbacks+={name}" for name in ema]
    average += ["--trainer.callbacks.module=network", "--trainer.callbacks.half_life=1"][
        : 2 * len(ema)
    ]
    folder = fit(recipe, "a", *average)
    found = accuracies(folder)
    best = max(found)
    epoch = found.index(best)
    assert best > found[-1], "or it tells nothing"
    checkpoint = saved(folder)
    assert (checkpoint["epoch"], checkpoint["global_step"]) == (epoch, (epoch + 1) * 16)
    exported = torch.load(folder / "network.pt", weights_only=True)
    assert accuracy(exported) == pytest.approx(best)
    assert f"best: val/accuracy {best:.4g} in epoch {epoch}, best.ckpt" in capsys.readouterr().out
    facts = json.loads((folder / "run.json").read_text())["best"]
    assert facts == {
        **{"metric": "val/accuracy", "value": pytest.approx(best)},
        **{"epoch": epoch, "step": checkpoint["global_step"]},
    }
    recipe("classify", "validate", f"--ckpt_path={CHECKPOINTS}/best.ckpt")
    assert rows(folder, "validate")[-1]["val/accuracy"] == pytest.approx(best)


def test_the_best_is_of_the_network_that_a_callback_has_finished(recipe):
    """Not of an early one, which may be better: the run shall end with a pruned network."""
    pruned = {"final": 0.99, "start": "40%", "end": "60%", "every": 4}  # in the third epoch
    flags = [f"--trainer.callbacks.{key}={value}" for key, value in pruned.items()]
    better = ("--model.network.channels=[8,16]", "--model.optimizer.lr=0.02")
    folder = fit(recipe, "a", *better, "--trainer.callbacks+=Prune", *flags)
    found = accuracies(folder)
    early, late = found[:2], found[2:]
    assert max(early) > max(late), "or it tells nothing"
    best = saved(folder)
    assert best["epoch"] == 2 + late.index(max(late))
    for name, value in torch.load(folder / "network.pt", weights_only=True).items():
        assert torch.equal(value, best["state_dict"][f"network.{name}"])


def test_the_last_weights_are_exported_where_they_are_asked_for(recipe):
    flags = ("--trainer.callbacks+=Export", "--trainer.callbacks.module=network")
    folder = fit(recipe, "a", *flags, "--trainer.callbacks.which=last")
    exported = torch.load(folder / "network.pt", weights_only=True)
    last = saved(folder, "last")["state_dict"]
    assert all(torch.equal(value, last[f"network.{name}"]) for name, value in exported.items())
    assert accuracy(exported) == pytest.approx(accuracies(folder)[-1])


def test_without_validation_there_is_no_best_and_the_last_is_exported(recipe, capsys):
    folder = fit(recipe, "a", "--trainer.limit_val_batches=0")
    assert [path.name for path in CHECKPOINTS.iterdir()] == ["last.ckpt"]
    assert (folder / "network.pt").exists() and "best" not in capsys.readouterr().out


def test_a_recipe_that_does_not_say_by_what_has_none(recipe):
    recipe(
        "gan", "fit", "--config=ring", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"
    )
    assert [path.name for path in Path("runs").rglob("*.ckpt")] == ["last.ckpt"]


@pytest.mark.parametrize(
    "regress", [("regress", "val/rmse", min), slow(("distill", "val/accuracy", max))]
)
def test_each_recipe_has_its_metric(recipe, regress):
    name, metric, choose = regress
    recipe(name, "fit", "--name=a", "--trainer.max_epochs=3")
    folder = Path("runs", name, "a")
    values = [row[metric] for row in rows(folder) if metric in row]
    assert saved(folder)["epoch"] == values.index(choose(values))


class BetweenBestAndLast(WritePredictions):
    """Fails when the best state is saved, and the last one of the same epoch is not."""

    epoch = 0

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            raise MemoryError("interrupted")


def cut(recipe, monkeypatch, where, *flags):
    with monkeypatch.context() as patch:
        if isinstance(where, int):
            interrupt_after(where, patch)
        else:
            kind = type("Cut", (BetweenBestAndLast,), {"epoch": int(where[-1])})
            others = recipes.running.assembly.DEFAULTS[:-1]
            patch.setattr(recipes.running.assembly, "DEFAULTS", (*others, kind))
        with pytest.raises(MemoryError):
            fit(recipe, "cut", *flags)


@pytest.fixture
def whole(recipe):
    return fit(recipe, "whole")


@pytest.mark.slow
def test_a_run_that_was_cut_off_ends_with_the_same_best(recipe, monkeypatch, whole):
    """In an epoch; and between the two files, when the epoch is the best, and when it is not."""
    found = accuracies(whole)
    best = found.index(max(found))
    for where in (16 * best + 3, 16 * (best + 1) + 3, f"epoch {best}", f"epoch {best - 1}"):
        cut(recipe, monkeypatch, where)
        folder = Path("runs/classify/cut")
        assert step_of(folder / "checkpoints/last.ckpt") and step_of(
            folder / "checkpoints/best.ckpt"
        )
        recipe("classify", "fit", f"--ckpt_path={folder}/checkpoints/last.ckpt")
        assert_equal(saved(folder), saved(whole))
        assert_equal(saved(folder, "last"), saved(whole, "last"))
        assert rows(folder) == rows(whole), where
        shutil.rmtree(folder)


@pytest.mark.slow
def test_a_run_goes_on_from_its_best_state(recipe, whole):
    folder = Path(shutil.copytree(whole, "runs/classify/again"))
    recipe("classify", "fit", f"--ckpt_path={folder}/checkpoints/best.ckpt")
    assert_equal(saved(folder, "last"), saved(whole, "last"))
    assert_equal(saved(folder), saved(whole))
    assert rows(folder) == rows(whole)


@pytest.mark.slow
def test_a_run_that_goes_on_from_before_its_best_looks_for_it_anew(recipe, whole):
    """In another folder, and in its own, where `best.ckpt` is of a later step."""
    early = Path("early.ckpt")
    fit(recipe, "short", "--trainer.max_epochs=2")
    shutil.copy("runs/classify/short/checkpoints/last.ckpt", early)
    flags = ("--trainer.max_epochs=3", "--model.optimizer.lr=10")  # which is worse
    shutil.copy(early, whole / "checkpoints/early.ckpt")
    recipe("classify", "fit", f"--ckpt_path={whole}/checkpoints/early.ckpt", *flags)
    assert_equal(saved(whole)["state_dict"], saved(whole, "last")["state_dict"])
    anew = ("--config=digits", "--name=other", *JUMPY, *flags)
    recipe("classify", "fit", f"--ckpt_path={early}", *anew)
    other = Path("runs/classify/other")
    assert_equal(saved(other)["state_dict"], saved(other, "last")["state_dict"])


@pytest.mark.slow
def test_without_a_look_at_the_file_the_best_is_lost(recipe, monkeypatch, whole):
    """The negative control."""
    monkeypatch.setattr(BestCheckpoint, "on_train_start", Callback.on_train_start)
    with pytest.raises((AssertionError, FileNotFoundError)):
        test_a_run_that_goes_on_from_before_its_best_looks_for_it_anew(recipe, whole)


@pytest.mark.slow
def test_a_killed_process_leaves_both_files_readable(recipe, whole):
    kill = ("--trainer.callbacks+=kills.Kill", "--trainer.callbacks.rank=0")
    process = Forked(
        "recipes.classify", "fit", "--name=k", *JUMPY, *kill, "--trainer.callbacks.step=52"
    )
    assert process.wait() == -9
    folder = Path("runs/classify/k")
    assert saved(folder, "last")["global_step"] == 48 and saved(folder)["global_step"] <= 48
    recipe("classify", "fit", f"--ckpt_path={folder}/checkpoints/last.ckpt")
    assert_equal(saved(folder)["state_dict"], saved(whole)["state_dict"])


# Checkpoints of the user's own


@pytest.mark.slow
def test_ones_own_checkpoints_lie_beside_the_run_s(recipe):
    own = ("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=val/loss")
    fit(recipe, "a", *own, "--trainer.callbacks.save_top_k=2", "--trainer.callbacks.save_last=true")
    names = sorted(path.name for path in CHECKPOINTS.iterdir())
    assert {"best.ckpt", "last.ckpt"} < {*names} and len(names) in (4, 5)
    assert len([name for name in names if name.startswith("epoch=")]) == 2
    assert not [path for path in Path("runs").rglob("*.ckpt") if path.parent != CHECKPOINTS]
    for name in names:
        recipe("classify", "test", f"--ckpt_path={CHECKPOINTS}/{name}")
    assert len(rows(CHECKPOINTS.parent, "test")) == len(names)
    assert torch.load(CHECKPOINTS / "last.ckpt", weights_only=True)["epoch"] == 4


@pytest.mark.parametrize("name", ["best", "last"])
@pytest.mark.parametrize("place", [(), (f"--trainer.callbacks.dirpath={CHECKPOINTS}",)])
def test_names_of_the_run_s_own_are_refused(recipe, name, place):
    own = ("--trainer.callbacks+=ModelCheckpoint", f"--trainer.callbacks.filename={name}")
    with pytest.raises(
        ValueError, match=f"filename={name}: runs/classify/a/checkpoints has a file"
    ):
        fit(recipe, "a", *own, *place)


@pytest.mark.slow
def test_the_middle_of_an_epoch_knows_of_the_best(recipe, monkeypatch, whole):
    middle = middle_of_epoch("runs/classify/cut")
    cut(recipe, monkeypatch, 59, *middle)
    recipe("classify", "fit", "--ckpt_path=runs/classify/cut/checkpoints/middle.ckpt")
    one, two = saved(Path("runs/classify/cut")), saved(whole)
    assert_equal(one["state_dict"], two["state_dict"])
    assert_equal(one["optimizer_states"], two["optimizer_states"])


def validated(best, values, saved):
    """A run's validations by a stub, (value, is_settled) each; it is cut after each of them."""
    strategy = SimpleNamespace(broadcast=lambda value: value)
    plain = {"sanity_checking": False, "fast_dev_run": False, "is_global_zero": True}
    plain["save_checkpoint"] = lambda path, weights_only: saved.append(path)
    for step, (value, is_settled) in enumerate(values):
        trainer = SimpleNamespace(
            **{"state": SimpleNamespace(fn=TrainerFn.FITTING), "strategy": strategy, **plain},
            **{"global_step": step, "current_epoch": step},
            callbacks=[best, SimpleNamespace(is_settled=is_settled)],
            callback_metrics={"val/x": torch.tensor(value)},
        )
        best.on_validation_end(trainer, None)
        last, best = best, BestCheckpoint(best.path.parent, "val/x", "min")
        best.load_state_dict(last.state_dict())
    return best, trainer


def test_what_is_no_number_is_never_the_best(tmp_path):
    """Nor is it what later ones are compared with."""
    saved = []
    values = [(value, True) for value in (math.nan, 3.0, math.nan, 4.0, 2.0)]
    best, _ = validated(BestCheckpoint(tmp_path, "val/x", "min"), values, saved)
    assert saved == [tmp_path / "best.ckpt"] * 2 and (best.value, best.step) == (2.0, 4)


@pytest.mark.parametrize(
    ("values", "step", "said"),
    [
        ([(1.0, False), (3.0, True), (2.0, True), (4.0, True)], 2, ""),
        ([(3.0, True), (1.0, False), (2.0, True)], 2, ""),
        ([(3.0, True), (1.0, False)], 0, ""),
        ([(1.0, False), (math.nan, True)], None, "was never validated: there is no best.ckpt"),
        ([(2.0, False), (1.0, False)], 1, "ends before SimpleNamespace has done its work"),
    ],
)
def test_a_finished_network_is_better_than_any_other(values, step, said, tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "best.ckpt").touch()
    best, trainer = validated(BestCheckpoint(tmp_path, "val/x", "min"), values, [])
    best.on_train_end(trainer, None)
    assert best.step == step or (step is None and best.value is None)
    assert (tmp_path / "best.ckpt").exists() == (step is not None)
    noted = caplog.text
    assert said in noted and bool(said) == bool(noted)


def test_a_checkpoint_of_before_there_was_such_a_thing_is_read(tmp_path):
    best = BestCheckpoint(tmp_path, "val/x", "min")
    best.load_state_dict({"metric": "val/x", "value": 1.0, "step": 3, "epoch": 1})
    assert best.of_settled and best.facts["value"] == 1.0
