"""Quantized files: what they predict, what is measured, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim

import recipes.quantize.measuring as measuring
from callbacks.fake_quantize.quantizers import Quantizers
from callbacks.fake_quantize.rounding import WEIGHTS
from datamodules import Diabetes, Digits
from marks import some
from recipes.export.__main__ import main as export
from recipes.export.formats import running, to_onnx
from recipes.parts.networks import ConvNet
from recipes.quantize.__main__ import main
from recipes.quantize.integers import calibrated, folded, of_integers, translations

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
runtime = pytest.importorskip("onnxruntime", reason="needs the extra: export")
SHORT = ("--trainer.max_epochs=2",)


def drawn_convnet():
    """With statistics and scales as after a training, also negative ones."""
    draw = torch.Generator().manual_seed(0)
    network = ConvNet([4, 6], 3)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values, mean in ((norm.running_mean, 0), (norm.weight, 0), (norm.bias, 0)):
                values.data.normal_(mean, generator=draw)
            norm.running_var.uniform_(0.5, 2, generator=draw)
    return network.eval().requires_grad_(False), torch.randn(30, 1, 8, 8, generator=draw)


def test_norms_are_folded_into_convolutions():
    network, inputs = drawn_convnet()
    other = folded(network, inputs)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in other.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(other(inputs), network(inputs), rtol=1e-4, atol=1e-5)


def test_a_network_of_integers_computes_as_the_rounded_one():
    """Whose norms are not folded: the integers are the same."""
    network, inputs = drawn_convnet()
    ranges = calibrated(network, inputs.split(10))
    assert ranges["features.0"] == tuple(inputs.aminmax())
    quantizers = Quantizers(network, ranges)
    quantizers.is_rounding = True
    expected = network(inputs)
    quantizers.remove()
    other = of_integers(folded(network, inputs), ranges)
    kinds = {name.rpartition(".")[2]: v.dtype for name, v in other.state_dict().items()}
    assert kinds["weight"] == torch.int8 and kinds["bias"] == torch.int32
    size = expected.abs().max()
    # An input at the edge of two integers may be the other one, and seldom is.
    assert (other(inputs) - expected).abs().max() < 0.01 * size
    assert (other(inputs) - expected).abs().median() < 1e-4 * size
    assert (network(inputs) - expected).abs().median() > 1e-3 * size, "the rounding is seen"


@pytest.mark.slow
@pytest.mark.parametrize("largest", [WEIGHTS, 127])
def test_products_in_the_runtime_are_those_of_32_bits(largest):
    """With the largest inputs and weights; with 127, only processors with VNNI are exact."""
    draw = np.random.default_rng(0)
    whole = draw.choice([-largest, largest, 5], (8, 512), p=[0.1, 0.8, 0.1]).astype(np.int8)
    inputs = draw.choice([0.0, 255.0], (6, 512), p=[0.1, 0.9]).astype(np.float32)
    layer = of_integers(nn.Linear(512, 8), {"": (torch.tensor(0.0), torch.tensor(255.0))})
    layer.weight.copy_(torch.from_numpy(whole))
    layer.steps.fill_(1.0), layer.sums.fill_(1.0), layer.bias.zero_()
    rows = {0: Dim("batch", min=1)}
    example = torch.from_numpy(inputs)
    written = to_onnx(layer.eval(), example, ["outputs"], rows, translations())
    written.save("a.onnx", external_data=False)
    options = runtime.SessionOptions()
    options.optimized_model_filepath = "optimized.onnx"
    options.log_severity_level = 3
    runtime.InferenceSession("a.onnx", options)
    import onnx

    assert "QGemm" in {node.op_type for node in onnx.load("optimized.onnx").graph.node}
    found = running(Path("a.onnx"))(example)["outputs"].numpy()
    expected = inputs.astype(np.int32) @ whole.T.astype(np.int32)
    if largest == WEIGHTS:
        assert np.array_equal(found, expected)
    elif not np.array_equal(found, expected):
        assert (found < expected).any(), "sums were cut off"


@pytest.mark.slow
def test_a_table_in_integers(recipe, monkeypatch, capsys):
    """The file takes raw rows; ranges are of training rows alone."""
    recipe("regress", "fit", "--name=a", *SHORT)
    folder = Path("runs/regress/a")
    recipe("regress", "predict", f"--ckpt_path={folder}/checkpoints/best.ckpt")
    taken = []

    def calibrate(network, batches):
        taken.extend(batches)
        return calibrated(network, taken)

    monkeypatch.setattr(measuring, "calibrated", calibrate)
    capsys.readouterr()
    main([str(folder), "--scheme=static_int8", "--calibration=1000"])
    said = capsys.readouterr().out
    found = json.loads((folder / "model.static_int8.json").read_text())
    before, after = found["float32"], found["static_int8"]
    assert before["metrics"].keys() == after["metrics"].keys() >= {"val/rmse", "test/rmse"}
    assert after["metrics"]["test/rmse"] == pytest.approx(before["metrics"]["test/rmse"], rel=0.02)
    assert after["metrics"] != before["metrics"]
    assert after["bytes"] == (folder / "model.static_int8.onnx").stat().st_size
    assert f"{before['metrics']['test/rmse']:.4g}" in said and "ms of 64 rows" in said
    assert all(after["milliseconds"][name] > 0 for name in after["milliseconds"])
    data = Diabetes()
    data.setup("fit")
    splits = data.split_rows(len(data.examples[1]), data.split)
    raw, calibration = data.examples[0], torch.cat(taken).double()
    known = [(raw[rows] - data.input_mean) / data.input_std for rows in splits]
    near = [torch.cdist(calibration, rows.double()).amin(1) < 1e-4 for rows in known]
    assert near[0].all() and not near[1].any() and not near[2].any()
    assert len(calibration) > 0.8 * len(splits[0])
    written = running(folder / "model.static_int8.onnx")(raw[:5].double())
    assert written.keys() == {"prediction", "std"} and len(written["std"]) == 5


@pytest.mark.slow
def test_a_run_that_was_trained_for_it(recipe):
    """The file answers as the run was evaluated; by the run's own ranges."""
    flags = ("--trainer.callbacks+=FakeQuantize", "--trainer.callbacks.start=5")
    recipe("classify", "fit", "--name=a", "--model.network.channels=[8]", *flags, *SHORT)
    folder = Path("runs/classify/a")
    recipe("classify", "validate", f"--ckpt_path={folder}/checkpoints/best.ckpt")
    own = json.loads((folder / "validate.jsonl").read_text().splitlines()[-1])

    def refused(*_):
        raise AssertionError("ranges are there")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "calibrated", refused)
        main([str(folder), "--scheme=static_int8"])
    found = json.loads((folder / "model.static_int8.json").read_text())
    after, before = found["static_int8"]["metrics"], found["float32"]["metrics"]
    assert after["val/loss"] == pytest.approx(own["val/loss"], rel=1e-3)
    assert abs(before["val/loss"] - own["val/loss"]) > abs(after["val/loss"] - own["val/loss"])
    data = Digits()
    data.setup("test")
    images = data.tables["test"].images.unsqueeze(1)
    predicted = running(folder / "model.static_int8.onnx")(images)["probability"].argmax(1)
    accuracy = (predicted == data.tables["test"].targets).float().mean()
    assert float(accuracy) == pytest.approx(after["test/accuracy"], abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["dynamic_int8", "int4_weight", "bf16"])
def test_the_schemes_of_weights(scheme, recipe):
    widths = ("--model.network=MLP", "--model.network.widths=[256]")
    recipe("classify", "fit", "--name=a", *widths, *SHORT)
    main(["runs/classify/a", f"--scheme={scheme}", "--output=other/mine.onnx"])
    found = json.loads(Path("other/mine.json").read_text())
    before, after = found["float32"], found[scheme]
    assert (
        after["bytes"]
        < {"bf16": 0.7, "dynamic_int8": 0.5, "int4_weight": 0.4}[scheme] * before["bytes"]
    )
    assert after["metrics"]["val/loss"] == pytest.approx(before["metrics"]["val/loss"], rel=0.05)
    assert after["metrics"]["val/loss"] != before["metrics"]["val/loss"]


@pytest.mark.slow
def test_what_would_be_another_file_is_not_written(recipe):
    recipe("regress", "fit", "--name=a", *SHORT)
    before = sorted(Path("runs").rglob("*"))
    with pytest.raises(
        ValueError, match=r"--tolerance=0: the file predicts otherwise than the net"
    ):
        main(["runs/regress/a", "--scheme=static_int8", "--tolerance=0"])
    assert sorted(Path("runs").rglob("*")) == before


def test_what_cannot_be_quantized_is_said(recipe):
    with pytest.raises(FileNotFoundError, match=r"nothing has no checkpoints/last\.ckpt"):
        main(["nothing", "--scheme=bf16"])
    with pytest.raises(ValueError, match=r"--output=\.: a folder, not a file"):
        main(["nothing", "--scheme=bf16", "--output=."])
    with pytest.raises(ValueError, match=r"--rows.*0 is no number from 1 on"):
        main(["nothing", "--scheme=bf16", "--rows=0"])
    recipe("regress", "fit", "--model.ensemble=2", "--name=two", *SHORT)
    with pytest.raises(ValueError, match=r"--model\.ensemble: only a single network is quantized"):
        main(["runs/regress/two", "--scheme=bf16"])


@pytest.mark.parametrize("name", some(["dqn", "policy_gradient"], 1))
@pytest.mark.parametrize("tool", [export, main], ids=["export", "quantize"])
def test_what_plays_episodes_is_refused(name, tool, recipe):
    small = ("--data.batches=2", "--trainer.max_epochs=1", "--data.episodes=1")
    recipe(name, "fit", "--name=a", *small)
    option = "--scheme=static_int8" if tool is main else "--format=onnx"
    with pytest.raises(ValueError, match=r"^\w+ predicts returns of episodes, not from inputs$"):
        tool([f"runs/{name}/a", option])


@pytest.mark.slow
def test_samples_that_are_drawn_are_refused(recipe):
    recipe("gan", "fit", "--config=ring", "--name=a", *SHORT, "--trainer.limit_train_batches=2")
    with pytest.raises(ValueError, match="GAN has no network or student that predicts"):
        main(["runs/gan/a", "--scheme=bf16"])


@pytest.mark.slow
def test_a_network_with_a_state_is_refused(recipe):
    Path("lines.txt").write_text("".join(f"{n} times {n} is {n * n}\n" for n in range(90)))
    small = ("--data=Text", "--data.path=lines.txt", "--data.batch_size=4", "--data.length=9")
    small += ("--model.network.width=8", "--trainer.callbacks=[]", "--name=a")
    recipe("language", "fit", *small)
    with pytest.raises(ValueError, match="LSTMLanguageModel carries a state: it is not quantized"):
        main(["runs/language/a", "--scheme=bf16"])
