"""Exported files predict what `predict` writes, from raw inputs, in other programs."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from datamodules import Diabetes, Digits
from marks import some
from recipes.export.__main__ import main
from recipes.export.deployed import Deployed
from recipes.export.formats import free_sizes
from recipes.parts.sentences import LSTMClassifier
from recipes.parts.transformer import TransformerLanguageModel
from written_texts import sentences, write_lines

GIVES = {
    **{name: ["probability"] for name in ("classify", "distill")},
    **{"regress": ["prediction", "std"], "quantile": ["prediction", "quantile"]},
}
SLOW = ("distill", "averaged", "ensemble", "quantile")  # whose siblings are not
SHORT = ("--trainer.max_epochs=2",)
RUNS = {
    "classify": ("--model.network.channels=[4]",),
    "distill": ("--model.student.channels=[4]", "--model.teacher.channels=[4]"),
    "averaged": ("--trainer.callbacks+=EMA", "--trainer.callbacks.module=network"),
    "regress": (),
    "ensemble": ("--model.ensemble=2",),
    "quantile": ("--model.loss=quantile", "--model.network.outputs=3"),
}
RECIPES = {"averaged": "classify", "ensemble": "regress", "quantile": "regress"}


@pytest.fixture
def fit(recipe):
    def run(name, *flags):
        technique = RECIPES.get(name, name)
        recipe(technique, "fit", f"--name={name}", *RUNS.get(name, ()), *SHORT, *flags)
        return Path("runs", technique, name)

    return run


def test_rows(folder):
    """Raw inputs of the test data, and what `predict` has written of them, by column."""
    with (folder / "predictions.csv").open() as file:
        table = list(csv.DictReader(file))
    columns = {name: np.array([float(row[name]) for row in table]) for name in table[0]}
    data = Digits() if folder.parent.name != "regress" else Diabetes()
    data.setup("test")
    if isinstance(data, Digits):
        return data.tables["test"].images.unsqueeze(1), columns
    rows = data.split_rows(len(data.examples[1]), data.split)[2]
    return data.examples[0][rows], columns


test_rows.__test__ = False


def assert_same(found, columns, scale=1.0):
    for name, values in found.items():
        values = np.asarray(values)
        named = {name: values}
        if values.ndim == 2:
            named = {f"{name}_{number}": part for number, part in enumerate(values.T)}
        for column, part in named.items():
            assert np.abs(part - columns[column]).max() <= 1e-4 * max(
                1, np.abs(columns[column]).max()
            )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in RUNS]
)
def test_a_program_of_torch_predicts_what_the_run_does(name, fit, recipe, capsys):
    folder = fit(name)
    best = folder / "checkpoints/best.ckpt"
    recipe(folder.parent.name, "predict", f"--ckpt_path={best}")
    capsys.readouterr()
    main([str(folder), "--format=torch_export"])
    said = capsys.readouterr().out
    assert said.startswith(f"{folder}/model.pt2: largest difference from the run's own predictions")
    extra = {"facts.json": ""}
    program = torch.export.load(folder / "model.pt2", extra_files=extra)
    inputs, columns = test_rows(folder)
    found = program.module()(inputs)
    assert [*found] == GIVES.get(name if name == "quantile" else folder.parent.name)
    assert_same(found, columns)
    assert len(program.module()(inputs[:1])[next(iter(found))]) == 1
    assert json.loads(extra["facts.json"])["checkpoint"] == str(best)


@pytest.mark.slow
def test_several_targets_are_told_apart(recipe):
    draw = torch.Generator().manual_seed(0)
    raw = torch.randn(40, 2, generator=draw, dtype=torch.float64)
    lines = [f"{a},{b},{100 * a},{b - a}" for a, b in raw.tolist()]
    Path("two.csv").write_text("\n".join(["a,b,y,z", *lines]))
    table = ("--data=Tabular", "--data.path=two.csv", "--data.target=[y,z]", "--data.batch_size=8")
    recipe("regress", "fit", *table, "--name=a", *SHORT)
    recipe("regress", "predict", "--ckpt_path=runs/regress/a/checkpoints/best.ckpt")
    main(["runs/regress/a", "--format=torch_export"])
    extra = {"facts.json": ""}
    program = torch.export.load("runs/regress/a/model.pt2", extra_files=extra).module()
    assert json.loads(extra["facts.json"])["target"] == ["y", "z"]
    with Path("runs/regress/a/predictions.csv").open() as file:
        written = list(csv.DictReader(file))
    found = program(raw[[int(row["row"]) for row in written]])
    assert [*found] == ["prediction_y", "prediction_z", "std_y", "std_z"]
    columns = {name: np.array([float(row[name]) for row in written]) for name in found}
    assert_same(found, columns)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["classify", pytest.param("regress", marks=pytest.mark.slow)])
def test_onnx_runtime_predicts_what_the_run_does(name, fit, recipe):
    pytest.importorskip("onnxscript", reason="needs the extra: export")
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra: export")
    folder = fit(name)
    recipe(name, "predict", f"--ckpt_path={folder}/checkpoints/last.ckpt")
    main([str(folder), "--format=onnx", "--which=last", "--output=other/mine.onnx"])
    session = runtime.InferenceSession("other/mine.onnx")
    (inputs,) = session.get_inputs()
    assert inputs.name == "inputs" and inputs.shape[0] == "batch"
    names = [output.name for output in session.get_outputs()]
    raw, columns = test_rows(folder)
    found = session.run(names, {"inputs": raw.numpy()})
    assert_same(dict(zip(names, found, strict=True)), columns)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["checkpoint"]).endswith("last.ckpt")
    assert [path.name for path in Path("other").iterdir()] == ["mine.onnx"]


@pytest.mark.slow
def test_safetensors_are_weights_to_start_from(fit, recipe):
    safetensors = pytest.importorskip("safetensors", reason="needs the extra: export")
    folder = fit("averaged")
    main([str(folder), "--format=safetensors"])
    exported = torch.load(folder / "network.pt", weights_only=True)
    with safetensors.safe_open(folder / "model.safetensors", "pt") as file:
        assert {*file.keys()} == exported.keys()
        assert all(torch.equal(file.get_tensor(name), exported[name]) for name in exported)
        assert json.loads(file.metadata()["white"]) == 16.0
    fit(
        "classify",
        f"--model.weights={folder}/model.safetensors",
        "--model.network.channels=[32,64]",
    )


@pytest.fixture
def language(recipe):
    """The folder of a language model."""
    Path("lines.txt").write_text("".join(f"{n} times {n} is {n * n}\n" for n in range(90)))

    def run(*network):
        small = ("--data=Text", "--data.path=lines.txt", "--data.batch_size=4", "--data.length=9")
        recipe("language", "fit", *small, *network, "--trainer.callbacks=[]", "--name=a")
        return Path("runs/language/a")

    return run


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["torch_export", "onnx"])
def test_a_language_model_takes_tokens_of_any_length(language, kind):
    network = ("--model.network=TransformerLanguageModel", "--model.network.width=8")
    folder = language(*network, "--data.order=blocks")
    main([str(folder), f"--format={kind}", "--which=last"])
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    weights = {k.removeprefix("network."): v for k, v in saved["state_dict"].items()}
    of_run = TransformerLanguageModel(len(saved["vocabulary"]["symbols"]), 9, width=8).eval()
    of_run.load_state_dict(weights)
    if kind == "onnx":
        runtime = pytest.importorskip("onnxruntime", reason="needs the extra: export")
        session = runtime.InferenceSession(folder / "model.onnx")
        facts = session.get_modelmeta().custom_metadata_map["tokens"]
        found = lambda tokens: session.run(["logits"], {"inputs": tokens.numpy()})[0]  # noqa: E731
    else:
        extra = {"facts.json": ""}
        program = torch.export.load(folder / "model.pt2", extra_files=extra).module()
        facts = json.dumps(json.loads(extra["facts.json"])["tokens"])
        found = lambda tokens: program(tokens)["logits"]  # noqa: E731
    assert json.loads(facts) == saved["vocabulary"]
    for shape in ((1, 1), (3, 4), (2, 9)):
        tokens = torch.randint(10, shape)
        expected = of_run(tokens)[0].detach()
        torch.testing.assert_close(torch.as_tensor(found(tokens)), expected)


def test_a_recurrent_language_model_has_its_weights_alone(language):
    folder = language("--model.network.width=8")
    said = "--model.network=LSTMLanguageModel: torch writes a recurrent network for texts of one le"
    with pytest.raises(ValueError, match=said):
        main([str(folder), "--format=torch_export"])
    assert not (folder / "model.pt2").exists()
    main([str(folder), "--format=safetensors"])
    assert (folder / "model.safetensors").exists()


def a_bit_more(value):
    parts = value if isinstance(value, dict) else {"": value}
    more = {name: 1.01 * part for name, part in parts.items()}
    return more if isinstance(value, dict) else more[""]


@pytest.mark.slow
@pytest.mark.parametrize("step", some(["preprocess", "predicted"], 1))
def test_a_file_that_predicts_otherwise_is_not_left(step, fit, monkeypatch):
    """Also where one is there already; whichever of what makes the file is wrong."""
    folder = fit("classify")
    right = getattr(Deployed, step)
    monkeypatch.setattr(Deployed, step, lambda self, inputs: a_bit_more(right(self, inputs)))
    before = sorted(folder.rglob("*"))
    with pytest.raises(ValueError, match=r"--tolerance=0.0001: largest difference .*; nothing is"):
        main([str(folder), "--format=torch_export"])
    assert sorted(folder.rglob("*")) == before
    monkeypatch.delenv("RECIPES_DEBUG")
    with pytest.raises(SystemExit) as stop:
        main([str(folder), "--format=torch_export"])
    assert stop.value.code not in (0, None)
    main([str(folder), "--format=torch_export", "--tolerance=1"])
    assert (folder / "model.pt2").exists()


def test_what_cannot_be_exported_is_said(fit, recipe):
    with pytest.raises(
        FileNotFoundError, match=r"nothing has no checkpoints/last.ckpt: not a run's"
    ):
        main(["nothing", "--format=onnx"])
    with pytest.raises(ValueError, match=r"--output=\.: a folder, not a file"):
        main(["nothing", "--format=onnx", "--output=."])
    with pytest.raises(ValueError, match=r"argument|--format|invalid choice"):
        main(["nothing", "--format=tflite"])
    folder = fit("regress", "--model.mc_samples=4", "--model.network.dropout=0.1")
    with pytest.raises(ValueError, match=r"--model.mc_samples: predictions by dropout are drawn"):
        main([str(folder), "--format=torch_export"])
    alone = (folder / "checkpoints/last.ckpt").rename("alone.ckpt")
    with pytest.raises(ValueError, match=r"alone.ckpt is in no run's folder"):
        main([str(alone), "--format=torch_export"])
    recipe("gan", "fit", "--config=ring", "--name=a", *SHORT, "--trainer.limit_train_batches=2")
    with pytest.raises(ValueError, match="GAN has no network or student that predicts"):
        main(["runs/gan/a", "--format=torch_export"])
    for path in Path("runs").rglob("model.*"):
        raise AssertionError(path)


@pytest.mark.parametrize("kind", some(["torch_export", "onnx"], 1))
def test_sentences_of_any_length_are_exported(kind, recipe):
    write_lines(Path("texts.txt"), sentences(300))
    data = ("--data=Sentences", "--data.path=texts.txt", "--data.batch_size=9")
    network = ("--model.network=TextCNN", "--model.network.width=4", "--model.network.filters=4")
    recipe("classify", "fit", "--name=a", *data, *network, "--trainer.max_epochs=1")
    main(["runs/classify/a", f"--format={kind}"])
    with pytest.raises(
        ValueError, match=r"^--model\.network=LSTMClassifier: torch writes a recurr"
    ):
        free_sizes(SimpleNamespace(vocabulary=(), module=None, network=LSTMClassifier(9, 2)))
