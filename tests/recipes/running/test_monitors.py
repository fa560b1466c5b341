"""A monitored metric that nobody logs is found before the first epoch."""

import re
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import recipes.running.assembly
from marks import some
from recipes.running.monitors import Monitors
from recipes.running.recipe import recipe_names

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=4")
STEPS = []


class Count(Callback):
    def on_train_batch_start(self, *args):
        STEPS.append(1)


@pytest.fixture
def counted(recipe, monkeypatch):
    """Runs a recipe; how many steps it has trained is in STEPS."""
    STEPS.clear()
    others = recipes.running.assembly.DEFAULTS
    monkeypatch.setattr(recipes.running.assembly, "DEFAULTS", (*others, Count))
    return recipe


def monitoring(callback, metric, *more):
    return f"--trainer.callbacks+={callback}", f"--trainer.callbacks.monitor={metric}", *more


@pytest.mark.parametrize(
    ("name", "flags", "said"),
    some(
        [
            (
                "classify",
                monitoring("ModelCheckpoint", "val/los"),
                "ModelCheckpoint's monitor=val/los ",
            ),
            (
                "classify",
                monitoring("ModelCheckpoint", "val/los"),
                "by validation: is it val/loss?",
            ),
            ("classify", monitoring("EarlyStopping", "val_accuracy"), ": is it val/accuracy?"),
            (
                "classify",
                monitoring("EarlyStopping", "val/none"),
                "EarlyStopping's monitor=val/none",
            ),
            ("study", monitoring("ModelCheckpoint", "val/rmse/Adm"), "is it val/rmse/Adam?"),
            ("gan", monitoring("ModelCheckpoint", "val/fid"), "is it val/fid_pixels?"),
            (
                "classify",
                ("--trainer.callbacks=LossDrivenLR", "--trainer.callbacks.monitor=val/losss"),
                "LossDrivenLR's monitor=val/losss",
            ),
            (
                "regress",
                monitoring("ModelCheckpoint", "val/rmse", "--data.val_size=0"),
                "ModelCheckpoint's monitor=val/rmse: there is no validation",
            ),
        ],
        3,
    ),
)
def test_a_misspelt_monitor_is_found_before_the_first_step(counted, name, flags, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        counted(name, "fit", *SHORT, *flags)
    assert not STEPS
    assert not Path("runs").exists(), "and nothing is left of it"


def test_one_of_training_is_found_in_the_first_step_that_is_logged(counted):
    with pytest.raises(ValueError, match=r"monitor=train/los is not logged: is it train/loss\?"):
        flags = ("--trainer.log_every_n_steps=2", *monitoring("ModelCheckpoint", "train/los"))
        counted("classify", "fit", *SHORT, *flags)
    assert len(STEPS) == 2


@pytest.mark.parametrize("name", some(recipe_names(), ["gan"]))
def test_all_that_validation_logs_is_known_before_the_first_step(name, recipe, monkeypatch):
    known = {}

    class Keys(Callback):
        def on_validation_end(self, trainer, module):
            found = {key for key in trainer.callback_metrics if key.startswith("val/")}
            known[trainer.sanity_checking] = found

    others = recipes.running.assembly.DEFAULTS
    monkeypatch.setattr(recipes.running.assembly, "DEFAULTS", (*others, Keys))
    recipe(name, "fit", *SHORT)
    assert known[True] == known[False]


class Late(BoringModel):
    """Logs a metric that the sanity check does not see."""

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            self.log("val/late", torch.zeros(()))


def fit(tmp_path, callback, **options):
    Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Count(), callback, Monitors()][: options.pop("callbacks", 3)],
        **{"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1, **options},
    ).fit(Late())


def test_a_metric_that_is_logged_later_can_be_monitored(tmp_path):
    with pytest.raises(ValueError, match=r"logged later needs --trainer\.num_sanity_val_steps=0"):
        fit(tmp_path, EarlyStopping("val/late"))
    fit(tmp_path, EarlyStopping("val/late"), num_sanity_val_steps=0)
    fit(tmp_path, EarlyStopping("val/late", strict=False))


def test_stock_lightning_trains_an_epoch_first(tmp_path):
    """The negative control."""
    STEPS.clear()
    with pytest.raises(MisconfigurationException, match="could not find the monitored key"):
        fit(tmp_path, ModelCheckpoint(monitor="val/los"), callbacks=2)
    assert len(STEPS) == 2
