"""A checkpoint of a step, where a run ends right after it: what was next is not left out."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

import recipes.running.assembly
import recipes.running.cli
from killing.compare import difference
from marks import slow
from recipes.classify import Classify
from recipes.parts.networks import MLP
from recipes.running.files import AtomicCheckpointIO
from recipes.running.rows import rewind
from recipes.running.whole_steps import WholeSteps
from trains import rows

SAVED = (  # at 7, 14 and 21 of an epoch's 21 batches
    "--trainer.callbacks+=ModelCheckpoint",
    "--trainer.callbacks.every_n_train_steps=7",
    "--trainer.callbacks.filename=middle",
    "--trainer.callbacks.enable_version_counter=false",
    "--trainer.log_every_n_steps=1",
    "--trainer.max_epochs=3",
)
CLASSIFY = (
    *("--data.batch_size=50", "--model.network=MLP", "--model.network.inputs=64"),
    *("--model.network.widths=[8]", "--model.network.dropout=0.3", *SAVED),
)
MIDDLE = "--trainer.val_check_interval=7"
STUDY = (
    *("--data.batch_size=13", "--model.network.widths=[8]", "--model.halving=2", *SAVED),
    *("--model.optimizers={SGD: {class_path: SGD}}", "--model.rungs=1"),
)
TWOS = "--trainer.accumulate_grad_batches=2"
UNVALIDATED = "--trainer.limit_val_batches=0"


class Interruption(Callback):
    """Ends a run in a hook, at a step."""

    def __init__(self, hook, step):
        def end(trainer, *args):
            if trainer.global_step == step and not trainer.sanity_checking:
                raise MemoryError("interrupted")

        setattr(self, hook, end)


def interrupt(patch, hook, step):
    if hook != "saved":
        further = lambda: Interruption(hook, step)  # noqa: E731
        defaults = recipes.running.cli.RecipeCLI.__init__

        def with_further(self, module, args, callbacks=(), ending=None):
            defaults(self, module, args, (*callbacks, further()), ending)

        patch.setattr(recipes.running.cli.RecipeCLI, "__init__", with_further)
        return
    save = AtomicCheckpointIO.save_checkpoint

    def save_and_end(self, checkpoint, path, **kwargs):
        save(self, checkpoint, path, **kwargs)
        if checkpoint["global_step"] == step:
            raise MemoryError("interrupted")

    patch.setattr(AtomicCheckpointIO, "save_checkpoint", save_and_end)


def cut_and_resumed(recipe, monkeypatch, name, flags, hook, step, checkpoint="middle"):
    """What is other in a run that was interrupted and resumed from a checkpoint of its own."""
    whole, cut = (Path("runs", name, which) for which in ("whole", "cut"))

    def saves(folder):
        return f"--trainer.callbacks.dirpath={folder}/checkpoints"

    where = flags.index(SAVED[0]) + 1
    before, after = flags[:where], flags[where:]
    if not whole.exists():
        recipe(name, "fit", "--name=whole", *before, saves(whole), *after)
    with monkeypatch.context() as patch:
        interrupt(patch, hook, step)
        with pytest.raises(MemoryError):
            recipe(name, "fit", "--name=cut", *before, saves(cut), *after)
    latest = cut / "checkpoints" / f"{checkpoint}.ckpt"
    assert torch.load(latest, weights_only=True)["global_step"] <= step
    recipe(name, "fit", f"--ckpt_path={latest}")
    return difference(cut, whole)


@pytest.mark.parametrize(
    ("name", "flags", "hook", "step"),
    [
        ("classify", CLASSIFY, "saved", 14),  # the step's row is not lost
        slow("classify", CLASSIFY, "on_validation_start", 42),  # validation is not left out
        slow("classify", CLASSIFY, "on_train_epoch_end", 42),  # nor is its row there twice
        slow("classify", CLASSIFY, "on_validation_start", 63),  # nor the last epoch's end
        slow(
            "classify", (*CLASSIFY, TWOS), "saved", 28
        ),  # nor is a step saved again within the next
        slow("study", (*STUDY, UNVALIDATED), "saved", 21),  # nor the members that it drops
        slow("classify", (*CLASSIFY, MIDDLE), "on_validation_start", 28),
        slow("classify", (*CLASSIFY, MIDDLE), "on_validation_end", 42),
        slow("classify", (*CLASSIFY, UNVALIDATED), "saved", 21),
        slow("regress", ("--data.batch_size=13", *SAVED), "saved", 14),
    ],
)
def test_what_comes_after_a_step_is_not_lost(recipe, monkeypatch, name, flags, hook, step):
    assert cut_and_resumed(recipe, monkeypatch, name, flags, hook, step) == ""


@pytest.mark.slow
def test_a_checkpoint_does_not_tell_that_a_run_was_resumed(recipe, monkeypatch):
    """The validation that tries a resumed run forgot the counts of the epoch before."""
    tens = ("--trainer.callbacks.every_n_train_steps=10", "--trainer.max_epochs=2")
    flags = (*CLASSIFY, *tens)  # at 10, 20, 30 and 40 of 42 steps
    where = ("on_train_batch_end", 25, "last")
    assert cut_and_resumed(recipe, monkeypatch, "classify", flags, *where) == ""


BEST = ("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=val/loss")
FOURS = ("--trainer.accumulate_grad_batches=4", "--trainer.max_epochs=1")


@pytest.mark.slow
def test_nothing_is_saved_within_a_step(recipe):
    """Seven batches are one step of four, and three quarters of one that no checkpoint has."""
    flags = (*CLASSIFY, *FOURS)
    line = "val_check_interval=7: .* after 7 batches, within a step of .* give a multiple of 4"
    with pytest.raises(ValueError, match=line):
        recipe("classify", "fit", *flags, *BEST, MIDDLE)
    recipe("classify", "fit", *flags, *BEST, "--trainer.val_check_interval=8")
    recipe("classify", "fit", *flags, MIDDLE)  # which saves at steps and epochs alone


@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
def test_a_loader_that_cannot_go_on_within_an_epoch_does_not_add_a_step(tmp_path):
    rows = DataLoader(TensorDataset(torch.rand(32, 4), torch.randint(3, (32,))), 8)
    saves = {"every_n_train_steps": 4, "filename": "middle", "enable_version_counter": False}

    def trained(*callbacks, checkpoint=None):
        callbacks = [WholeSteps(), *callbacks, ModelCheckpoint(tmp_path, **saves)]
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = Trainer(default_root_dir=tmp_path, max_epochs=3, callbacks=callbacks, **quiet)
        trainer.fit(Classify(MLP(4, [4], outputs=3)), rows, ckpt_path=checkpoint)
        return trainer.global_step

    with pytest.raises(MemoryError):
        trained(Interruption("on_train_epoch_end", 8))
    assert trained(checkpoint=tmp_path / "middle.ckpt") == 12


class Mean(Callback):
    """Logs a mean over the epoch, as a user's module does."""

    def on_train_batch_end(self, trainer, pl_module, outputs, *args):
        pl_module.log("train/mean", outputs["loss"], on_step=False, on_epoch=True, batch_size=50)


def test_a_row_of_an_epoch_is_not_lost(recipe, monkeypatch):
    means = ModuleType("means")
    means.Mean = Mean
    monkeypatch.setitem(sys.modules, "means", means)
    flags = (*CLASSIFY[: -len(SAVED)], *SAVED[-2:], "--trainer.callbacks+=means.Mean")
    recipe("classify", "fit", "--name=whole", *flags)
    with monkeypatch.context() as patch:
        interrupt(patch, "saved", 42)
        with pytest.raises(MemoryError):
            recipe("classify", "fit", "--name=cut", *flags)
    recipe("classify", "fit", "--ckpt_path=runs/classify/cut/checkpoints/last.ckpt")
    assert difference(Path("runs/classify/cut"), Path("runs/classify/whole")) == ""
    found = [row["step"] for row in rows(Path("runs/classify/cut")) if "train/mean" in row]
    assert found == [20, 41, 62]


@pytest.mark.slow
def test_within_a_step_it_is_lost(recipe, monkeypatch):
    """The negative control: ModelCheckpoint as Lightning calls it."""

    class Nothing(Callback):
        pass

    defaults = recipes.running.assembly.DEFAULTS
    others = [Nothing if each is WholeSteps else each for each in defaults]
    monkeypatch.setattr(recipes.running.assembly, "DEFAULTS", others)
    cut_and_resumed(recipe, monkeypatch, "classify", CLASSIFY, "on_validation_start", 42)
    found = {name: rows(Path("runs/classify", name)) for name in ("whole", "cut")}
    lost = [row for row in found["whole"] if row not in found["cut"]]
    assert [row["step"] for row in lost] == [41] and "val/accuracy" in lost[0]


def test_of_the_step_before_only_rows_that_were_there_are_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = ['{"step": 0}\n', '{"step": 1}\n', '{"step": 1, "val/loss": 2}\n', '{"step": 2}\n']
    for count, kept in ((1, 2), (2, 3), (None, 3), (0, 1)):
        path.write_text("".join(lines))
        rewind(path, 2, count)
        assert path.read_text() == "".join(lines[:kept])
    path.write_text("".join([lines[0], "damaged\n", *lines[1:]]))
    with pytest.warns(UserWarning, match="line 2 is damaged"):
        rewind(path, 2, 1)
    assert path.read_text() == "".join(lines[:2]), "what is damaged is no row"
