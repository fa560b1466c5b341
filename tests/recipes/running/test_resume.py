"""What a resumed run may change, and what would make it another one."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from datamodules import Digits
from forks import ended_well, ranks
from marks import some
from recipes.classify import Classify
from recipes.parts.networks import MLP
from recipes.running.resume import check_evaluated
from trains import rows

SMALL = ("--model.network=MLP", "--model.network.inputs=64", "--model.network.widths=[16]")
SHORT = ("--trainer.limit_train_batches=4", "--trainer.log_every_n_steps=1")


@pytest.fixture
def run(recipe):
    recipe("classify", "fit", "--name=mine", *SMALL, *SHORT, "--trainer.max_epochs=1")
    return Path("runs/classify/mine")


def checkpoint(folder):
    return f"--ckpt_path={folder}/checkpoints/last.ckpt"


@pytest.mark.parametrize("lonely", some([False, True], 1))
@pytest.mark.parametrize(
    ("flags", "said"),
    some(
        [
            (["--data.split_seed=1"], "--data.split_seed=1, but the run was trained with 0"),
            (["--seed_everything=3"], "--seed_everything=3, but the run was trained with 0"),
            (["--data.val_size=300"], "--data.val_size=300, but the run was trained with 360"),
            (["--data.labelled=100"], "--data.labelled=100, but the run was trained with null"),
            (["--data=Diabetes"], "--data=Diabetes, but the run was trained with Digits"),
            (
                ["--model.network=ConvNet", "--model.network.channels=[4]"],
                "--model.network=ConvNet, but the run was trained with MLP",
            ),
            (["--model.network.widths=[8]"], r"widths=\[8\], but the run was trained with \[16\]"),
            (["--model.optimizer=SGD"], "--model.optimizer=SGD, but the run was trained with Adam"),
            (["--data.batch_size=32"], "batch_size=32 on 1 processes is a batch of 32, .* with 64"),
            (["--trainer.accumulate_grad_batches=2"], "batches=2, but the run was trained with 1"),
        ],
        3,
    ),
)
def test_what_would_make_it_another_run_is_refused(run, recipe, tmp_path, flags, said, lonely):
    given, names = checkpoint(run), ("metrics.jsonl", "config.yaml", "run.json")
    if lonely:  # outside of its run's folder
        given = f"--ckpt_path={tmp_path}/lonely.ckpt"
        Path("lonely.ckpt").write_bytes((run / "checkpoints/last.ckpt").read_bytes())
    before = [(run / name).read_bytes() for name in names]
    with pytest.raises(ValueError, match=said):
        recipe("classify", "fit", given, *flags, "--trainer.max_epochs=2")
    assert [(run / name).read_bytes() for name in names] == before
    assert [folder.name for folder in Path("runs/classify").iterdir()] == ["mine"]


def test_what_may_change_is_named(run, recipe, capsys):
    recipe("classify", "fit", checkpoint(run), "--trainer.max_epochs=2")
    assert "resumed with trainer.max_epochs=2 (was 1)\n" in capsys.readouterr().out
    flags = ("--model.optimizer.lr=0.5", "--model.label_smoothing=0.1", "--trainer.max_epochs=3")
    recipe("classify", "fit", checkpoint(run), *flags, "--trainer.callbacks+=Throughput")
    (line,) = [s for s in capsys.readouterr().out.splitlines() if s.startswith("resumed with")]
    changed = line.removeprefix("resumed with ").split(", ")
    assert set(changed) == {
        "model.optimizer.lr=0.5 (was 0.01)",
        "model.label_smoothing=0.1 (was 0.0)",
        "trainer.max_epochs=3 (was 2)",
        "trainer.callbacks.Throughput=Throughput (was null)",
    }
    recipe("classify", "fit", checkpoint(run))
    assert "resumed with" not in capsys.readouterr().out, "nothing has changed"


def test_evaluation_on_what_was_trained_on_is_refused(run, recipe):
    for command in ("validate", "test"):
        with pytest.raises(ValueError, match=r"split_seed=1, but .* with 0: it has seen"):
            recipe("classify", command, checkpoint(run), "--data.split_seed=1")
    recipe("classify", "predict", checkpoint(run), "--data.split_seed=1")
    recipe("classify", "test", checkpoint(run), "--data.batch_size=7", "--seed_everything=4")


@pytest.mark.slow
def test_the_same_batch_on_another_number_of_processes_goes_on_identically(recipe):
    """Plain SGD without dropout: the gradients of two halves are that of the whole."""
    sgd = ("--model.optimizer=SGD", "--model.optimizer.lr=0.1", "--model.optimizer.fused=false")
    common = (*SMALL, *SHORT, *sgd, "--trainer.callbacks=Threads", "--trainer.max_epochs=2")
    recipe("classify", "fit", "--name=whole", *common)
    recipe("classify", "fit", "--name=cut", *common, "--trainer.max_epochs=1")
    cut = Path("runs/classify/cut")
    two = ("fit", "--config=ddp", "--trainer.devices=2", checkpoint(cut), "--trainer.max_epochs=2")
    other = ranks(2, "recipes.classify", *two)
    assert [process.wait() for process in other] == [1, 1]
    said = "".join(process.output() for process in other)
    assert "on 2 processes is a batch of 128, but the run was trained with 64" in said
    ended_well(*ranks(2, "recipes.classify", *two, "--data.batch_size=32"))
    states = [
        torch.load(f"runs/classify/{name}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "cut")
    ]
    for one, other in zip(*(state.values() for state in states), strict=True):
        torch.testing.assert_close(one, other)
    losses = [
        [row["val/loss"] for row in rows(Path("runs/classify", name)) if "val/loss" in row]
        for name in ("whole", "cut")
    ]
    assert losses[0] == pytest.approx(losses[1])


def test_stock_lightning_resumes_with_another_split_in_silence(tmp_path):
    """The negative control: more than half of validation's images have been trained on."""

    def fit(epochs, **options):
        data = Digits(batch_size=64, split_seed=int(epochs > 1))
        Trainer(
            default_root_dir=tmp_path,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            max_epochs=epochs,
        ).fit(Classify(MLP(64, [4])), datamodule=data, **options)
        return data.tables["train" if epochs == 1 else "val"].images.flatten(1)

    trained = fit(1)
    (saved,) = Path(tmp_path).rglob("*.ckpt")
    validated = fit(2, ckpt_path=saved)
    seen = {tuple(image.tolist()) for image in trained}
    assert sum(tuple(image.tolist()) in seen for image in validated) > 360 / 2


@pytest.mark.slow
def test_a_run_that_has_nothing_left_to_train_says_so(run, recipe, caplog):
    last = checkpoint(run)
    recipe("classify", "fit", last)
    assert "left to train after --trainer.max_epochs=1: give more, such as 2" in caplog.text
    caplog.clear()
    recipe("classify", "fit", last, "--trainer.max_epochs=3")
    assert "left to train" not in caplog.text
    before, trained = rows(run), "but the run has trained"
    for flag, said in (
        ("--trainer.max_epochs=2", f"--trainer.max_epochs=2, {trained} 3"),
        ("--trainer.max_steps=11", f"--trainer.max_steps=11, {trained} 12"),
    ):
        with pytest.raises(ValueError, match=said):
            recipe("classify", "fit", last, flag)
    recipe("classify", "test", last, "--trainer.max_epochs=1")  # which trains none
    assert rows(run) == before


SPLITS = "split split_seed val_size test_size folds fold repeat stratify group time split_column"


@pytest.mark.parametrize("name", SPLITS.split())
def test_each_setting_that_says_which_rows_are_tested_is_the_run_s(name):
    """Of other data it may be another."""
    key = f"data.{name}"
    with pytest.raises(ValueError, match=f"--{key}=2, but the run was trained with 1: it has seen"):
        check_evaluated({key: 1}, {key: 2})
    check_evaluated({key: 1, "data.path": "a.csv"}, {key: 2, "data.path": "b.csv"})
