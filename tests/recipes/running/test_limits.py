"""Settings that say nothing, or something other than they do, are refused."""

import inspect
import re
from pathlib import Path

import pytest
import yaml
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from marks import some
from recipes.running.cli import main
from recipes.running.config_files import shipped_config
from recipes.running.limits import LIMITS, refuse_meaningless
from recipes.running.recipe import find_recipe

# Option to values that are refused, and values that mean something.
VALUES = {
    "max_epochs": ([0, -2], [-1, 1, None]),
    "max_steps": ([0, -5], [-1, 1]),
    "min_epochs": ([-1], [0, 1, None]),
    "min_steps": ([-1], [0, 1, None]),
    "limit_train_batches": ([0, 0.0, -1, 1.5, float("nan")], [1, 1.0, 0.5, 7, None]),
    "limit_val_batches": ([-0.5, 2.5], [0, 0.5, 3]),
    "limit_test_batches": ([-1], [0, 3]),
    "limit_predict_batches": ([-1], [0, 3]),
    "overfit_batches": ([-1, 1.5], [0.0, 0.5, 2]),
    "val_check_interval": ([0, -1, 1.5], [1.0, 0.25, 10, None]),
    "check_val_every_n_epoch": ([0, -1], [1, None]),
    "num_sanity_val_steps": ([-2], [-1, 0, 2, None]),
    "log_every_n_steps": ([-1], [0, 1, None]),
    "accumulate_grad_batches": ([0, -1], [1, 4]),
    "gradient_clip_val": ([-1, -0.5, float("nan")], [0, 0.5, float("inf"), None]),
    "reload_dataloaders_every_n_epochs": ([-1], [0, 1]),
    "fast_dev_run": ([-1], [True, False, 2]),
    "num_nodes": ([0, -1], [1]),
    "max_time": (["00:00:00:00", "soon"], ["00:00:00:01", None]),
    "default_root_dir": (["s3://bucket/runs", "gs://a"], ["runs", None]),
    "gradient_clip_algorithm": (["value", "norm"], [None]),
}


def given(**values):
    """The Trainer's settings, by default but for some."""
    every = inspect.signature(Trainer).parameters
    return Namespace(**{name: each.default for name, each in every.items()} | values)


def test_every_limit_is_tried():
    assert LIMITS.keys() <= VALUES.keys()


@pytest.mark.parametrize("name", VALUES)
def test_a_number_that_means_nothing_is_refused(name):
    refused, taken = VALUES[name]
    for value in taken:
        refuse_meaningless(given(**{name: value}), "fit")
    for value in refused:
        with pytest.raises(ValueError, match=rf"^--trainer\.{name}={value}"):
            refuse_meaningless(given(**{name: value}), "fit")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("validate", "limit_val_batches"),
        ("test", "limit_test_batches"),
        ("predict", "limit_predict_batches"),
    ],
)
def test_a_command_needs_batches(command, name):
    with pytest.raises(ValueError, match=rf"{name}=0: {command} has nothing to do"):
        refuse_meaningless(given(**{name: 0}), command)


def test_what_another_setting_makes_meaningless_is_refused():
    with pytest.raises(ValueError, match=r"min_epochs=3, --trainer\.max_epochs=2: .* end before"):
        refuse_meaningless(given(min_epochs=3, max_epochs=2), "fit")
    refuse_meaningless(given(min_epochs=3, max_epochs=-1), "fit")
    clip = {"gradient_clip_val": 0.5, "gradient_clip_algorithm": "value"}
    refuse_meaningless(given(**clip), "fit")


@pytest.mark.parametrize(
    "flags",
    [
        {"limit_train_batches": 0},
        {"log_every_n_steps": -1},
        {"gradient_clip_val": -1.0},
        {"num_sanity_val_steps": -5},
        {"min_epochs": 9},
        {"accumulate_grad_batches": -1},
    ],
)
def test_stock_lightning_takes_it_in_silence(tmp_path, flags):
    """The negative control."""
    stock = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 1, "limit_val_batches": 1, "limit_train_batches": 2, **flags},
    )
    stock.fit(BoringModel())
    assert stock.state.finished


def test_the_command_line_refuses_before_it_makes_a_folder(recipe):
    with pytest.raises(ValueError, match=r"--trainer\.limit_train_batches=0: fit has nothing"):
        recipe("classify", "fit", "--trainer.limit_train_batches=0")
    assert not Path("runs").exists()


@pytest.mark.parametrize("kinds", [int | float | None, float | int | None])
def test_one_batch_is_no_share_whatever_was_imported_before(kinds, monkeypatch, capsys):
    """typing may have the types of an equal union in another order."""
    hints = Trainer.__init__.__annotations__
    for value in ("1", "1.0"):
        monkeypatch.setitem(hints, "limit_train_batches", kinds)
        with pytest.raises(SystemExit):
            flags = [f"--trainer.limit_train_batches={value}", "--print_config"]
            main(find_recipe("classify").module, ["fit", *flags])
        assert f"limit_train_batches: {value}\n" in capsys.readouterr().out


MODEL = "model: {network: {class_path: ConvNet, init_args: {channels: [4]}}}\n"
DATA = "data: {class_path: Digits}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"trainer: [a]\n{MODEL}{DATA}", r"trainer is \['a'\], not settings"),
        (f"trainer:\n{MODEL}{DATA}", "trainer is empty"),
        (f"model: 3\n{DATA}", "model is 3, not settings"),
        (f"{MODEL}{DATA}{MODEL}", "model is there twice, in lines 1 and 3"),
        (f"{DATA}model:\n  alpha: 1\n  alpha: 2\n", "alpha is there twice, in lines 3 and 4"),
        ("trainer:\n\tmax_epochs: 1\n", "is not a YAML file of settings: line 2: found character"),
        ("", "is not a YAML file of settings"),
        ("a\n", "is not a YAML file of settings"),
    ],
)
def test_a_config_that_yaml_would_read_otherwise_is_refused(recipe, text, said):
    Path("mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"^--config=mine\.yaml:? .*{said}|{said}"):
        recipe("classify", "fit", "--config=mine.yaml")


def test_yamls_own_loader_drops_the_first_of_two_keys(recipe):
    """The negative control; merge keys are no duplicates."""
    assert yaml.safe_load("alpha: 1\nalpha: 2\n") == {"alpha": 2}
    Path("merged.yaml").write_text("data: &d {class_path: Digits}\nmodel: {a: {<<: *d, <<: *d}}\n")
    assert shipped_config("merged.yaml", None) == "merged.yaml"


@pytest.mark.parametrize(
    ("name", "flags", "said"),
    some(
        [
            (
                "classify",
                ("--model.network.channels=[0]",),
                "channels=0 must be a whole number above 0",
            ),
            (
                "classify",
                ("--model.network.channels=[]",),
                r"channels=\[\]: give at least one layer",
            ),
            (
                "classify",
                ("--model.network.dropout=1",),
                "dropout=1 must be a number from 0 to below 1",
            ),
            (
                "classify",
                ("--model.network.outputs=0",),
                "outputs=0 must be a whole number above 0",
            ),
            ("classify", ("--data.shift=8",), "--data.shift=8 would empty images of 8x8 pixels"),
            ("gan", ("--model.generator.channels=[]",), r"channels=\[\]: give at least one layer"),
            ("gan", ("--model.discriminator.blocks=0",), "blocks=0 must be a whole number above 0"),
            (
                "gan",
                ("--model.penalties=null", "--model.penalty_interval=4"),
                "--model.penalty_interval=4: there are no penalties",
            ),
            (
                "regress",
                ("--model.network.widths=[8,0]",),
                "widths=0 must be a whole number above 0",
            ),
            ("regress", ("--model.loss=mse", "--model.delta=3"), "delta=3.0 is of loss huber"),
            (
                "regress",
                (
                    "--model.loss=quantile",
                    "--model.quantiles=[0.5,0.5]",
                    "--model.network.outputs=2",
                ),
                r"--model.quantiles=\[0.5, 0.5\] has 0.5 more than once",
            ),
            (
                "study",
                (
                    "--trainer.callbacks+=StochasticWeightAveraging",
                    "--trainer.callbacks.swa_lrs=0.1",
                ),
                "StochasticWeightAveraging sets rates, which the search gives",
            ),
            ("study", ("--model.seeds=[0,0]",), r"--model.seeds=\[0, 0\] has 0 more than once"),
            ("study", ("--model.splits=[1,1]",), r"--model.splits=\[1, 1\] has 1 more than once"),
            (
                "study",
                ("--model.search.learning_rate=[]",),
                r"learning_rate=\[\]: give at least one",
            ),
            ("study", ("--model.search.learning_rate=[1,1]",), "has 1.0 more than once"),
            ("study", ("--model.search.weight_decay=[]",), r"weight_decay=\[\]: give at least one"),
            (
                "study",
                ("--model.search.weight_decay=[-1.0]",),
                r"weight_decay=\[-1.0\]: each must be a finite number, 0 or above",
            ),
            ("study", ("--model.halving=2", "--trainer.max_epochs=1"), "halving=2 drops nothing"),
            (
                "study",
                ("--model.optimizers={A: {class_path: SGD, init_args: {lr: 0.1}}}",),
                "A has lr=0.1, which --model.search.learning_rate gives",
            ),
            (
                "classify",
                ("--trainer.callbacks+=EMA", "--trainer.callbacks.half_life=0ba"),
                "half_life=0ba must be a whole number above 0 or a length above 0",
            ),
        ],
        10,
    ),
)
def test_an_argument_that_means_nothing_is_refused(monkeypatch, recipe, name, flags, said):
    monkeypatch.delenv("RECIPES_DEBUG")
    with pytest.raises(SystemExit) as stop:
        recipe(name, "fit", *flags)
    assert re.search(said, stop.value.code) and "\n" not in stop.value.code
    assert not Path("runs").exists()
