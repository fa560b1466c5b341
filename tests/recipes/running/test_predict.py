"""The options that `predict` alone has: where predictions go, and what a recipe asks for."""

import csv
import json
import weakref
from pathlib import Path

import pytest
import torch
from jsonargparse.typing import PositiveInt

from marks import some
from recipes.classify import Classify
from recipes.running.cli import main

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=4")
CHECKPOINT = "--ckpt_path=runs/regress/a/checkpoints/last.ckpt"


def read(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def run(recipe):
    recipe("regress", "fit", "--name=a", *SHORT)
    return Path("runs/regress/a")


def help_of(module, subcommand, capsys):
    with pytest.raises(SystemExit):
        main(module, [subcommand, "--help"])
    return capsys.readouterr().out


def test_predictions_go_where_they_are_wanted(run, recipe):
    recipe("regress", "predict", CHECKPOINT)
    usual = read(run / "predictions.csv")
    recipe("regress", "predict", CHECKPOINT, "--output=b.csv", "--columns.prediction=price")
    assert list(usual[0]) == ["target", "prediction", "std"]
    assert read("b.csv") == [{"price": row["prediction"]} for row in usual]


def test_the_options_are_no_settings_of_a_run(run, recipe):
    """Of the run that a checkpoint lies in, and of a new one of a checkpoint apart."""
    before = {path: path.read_bytes() for path in (run / "config.yaml", run / "run.json")}
    recipe("regress", "predict", CHECKPOINT, "--output=b.csv")
    assert all(path.read_bytes() == content for path, content in before.items())
    saved = torch.load(CHECKPOINT.partition("=")[2], weights_only=True)
    assert not {"output", "id"} & saved["hyper_parameters"].keys()
    (run / "checkpoints/last.ckpt").rename("apart.ckpt")
    for name, *options in (("c",), ("d", "--output=d.csv", "--columns.prediction=y")):
        recipe("regress", "predict", "--ckpt_path=apart.ckpt", f"--name={name}", *options)
    one, two = (json.loads(Path("runs/regress", n, "run.json").read_text()) for n in "cd")
    assert one["config_hash"] == two["config_hash"] and one["settings"] == two["settings"]


def test_they_are_options_of_predict_alone(run, recipe, capsys):
    text = help_of(Classify, "predict", capsys)
    assert all(f"\n  {option} " in text for option in ("--output", "--id", "--columns"))
    assert "--output " not in help_of(Classify, "fit", capsys)
    for flag in ("--output=b.csv", "--columns.prediction=y"):
        with pytest.raises(ValueError, match=f"^{flag}: an option of predict$"):
            recipe("regress", "test", CHECKPOINT, flag)


@pytest.mark.parametrize(
    ("option", "said"),
    some(
        [
            (
                "--output=nowhere/b.csv",
                "--output=nowhere/b.csv: name a file in a folder that is there",
            ),
            ("--output=.", "--output=.: name a file in a folder that is there"),
            ("--id=name", "--id=name: --data has no named columns to take it from"),
            ("--columns.prize=y", "--columns: no prize among target, prediction, std"),
        ],
        1,
    ),
)
def test_what_cannot_be_written_is_refused_in_one_line(run, recipe, option, said):
    recipe("regress", "predict", CHECKPOINT)
    before = (run / "predictions.csv").read_bytes()
    files = sorted(Path().rglob("*.csv*"))
    with pytest.raises(ValueError) as refused:
        recipe("regress", "predict", CHECKPOINT, option)
    assert str(refused.value) == said
    assert (run / "predictions.csv").read_bytes() == before
    assert sorted(Path().rglob("*.csv*")) == files, "nothing is left"


class Prompted(Classify):
    """A recipe whose prediction is asked for in words."""

    def prepare_prediction(self, prompt: str, count: PositiveInt = 2) -> None:
        """How a prediction is asked for.

        Args:
            prompt: what it goes on from
            count: how often it does
        """
        self.asked = (prompt, count)

    def predict_step(self, batch, batch_idx):
        prompt, count = self.asked
        return {"letters": torch.full((count,), len(prompt))}


OWN = (
    "--model.network=MLP",
    "--model.network.inputs=64",
    "--model.network.widths=[8]",
    "--data=Digits",
)


def test_a_recipe_has_options_of_its_own(capsys):
    text = help_of(Prompted, "predict", capsys)
    assert "what it goes on from (required" in text and "how often it does" in text
    assert "--prompt" not in help_of(Prompted, "fit", capsys)
    main(Prompted, ["fit", "--name=a", *OWN, *SHORT])
    folder = Path("runs/test_predict/a")
    before = (folder / "config.yaml").read_bytes()
    predict = ["predict", f"--ckpt_path={folder}/checkpoints/last.ckpt"]
    predict += ["--trainer.limit_predict_batches=1", "--prompt=Once"]
    for options, rows in ((["--output=b.csv"], 2), (["--count=3", "--output=b.csv"], 3)):
        main(Prompted, [*predict, *options])
        assert [row["letters"] for row in read("b.csv")] == ["4"] * rows
    assert (folder / "config.yaml").read_bytes() == before
    for wrong, said in (
        ([*predict[:3], "--count=3"], "predict needs --prompt"),
        ([*predict, "--count=0"], "--count=0 must be a whole number above 0"),
    ):
        with pytest.raises(SystemExit, match=f"^error: {said}"):
            main(Prompted, wrong)


class Watched(Classify):
    """A recipe that counts how many of its earlier predictions are still in memory."""

    def predict_step(self, batch, batch_idx):
        self.kept = [*getattr(self, "kept", []), weakref.ref(values := batch[1].clone())]
        counts.append(sum(kept() is not None for kept in self.kept))
        return {"target": values}


counts = []


def test_predictions_take_no_more_memory_than_a_batch():
    main(Watched, ["fit", "--name=a", *OWN, *SHORT])
    predict = ["predict", "--ckpt_path=runs/test_predict/a/checkpoints/last.ckpt"]
    predict += ["--data.batch_size=20"]
    for options, most in (([], 1), (["--return_predictions=true"], 18)):
        counts.clear()
        main(Watched, [*predict, *options])
        assert len(counts) == 18 and max(counts) == most
    assert len(read("runs/test_predict/a/predictions.csv")) == 360
