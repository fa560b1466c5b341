"""LoRA: bit-equal at the start, equal when merged, and nothing but adapters and head moves."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

from callbacks import EMA, L1, MaxNorm
from forks import ended_well, ranks
from launches import difference, weights
from recipes.classify import Classify
from recipes.parts.lora import ADAPTERS, learned, merged
from recipes.parts.networks import MLP, ConvNet
from recipes.parts.transformer import TransformerLanguageModel
from recipes.parts.weights import give
from recipes.parts.wrappers import lora
from trains import digits, fit, rows


class Mixed(nn.Module):
    """Convolution, batch-norm and dropout, then linear layers."""

    def __init__(self):
        super().__init__()
        self.body = ConvNet([4], 8, dropout=0.2)
        self.middle = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        self.head = nn.Linear(8, 10)

    def forward(self, inputs):
        return self.head(self.middle(self.body(inputs)))


def mixed(seed=0):
    torch.manual_seed(seed)
    return Mixed()


def adapted(seed=0, **options):
    return lora(lambda: mixed(seed), **options)


def adamw(params):
    return torch.optim.AdamW(params, 0.05, weight_decay=0.5)


def test_it_computes_what_the_base_does_bit_for_bit_at_the_start():
    inputs = torch.randn(16, 1, 8, 8)
    assert torch.equal(adapted().eval()(inputs), mixed().eval()(inputs))
    tokens = torch.randint(11, (2, 5))
    made = lambda: TransformerLanguageModel(11, 5, 8, 2, 2)  # noqa: E731
    torch.manual_seed(0)
    base = made().eval()
    torch.manual_seed(0)
    network = lora(made, trained=[]).eval()
    assert torch.equal(network(tokens)[0], base(tokens)[0])
    assert sum(name.endswith(ADAPTERS) for name in network.state_dict()) > 4


def test_the_adapter_is_the_papers_equation():
    """Slowly: h = W x + b + alpha / r B A x, one row at a time."""
    network = adapted(rank=2, alpha=6.0)
    layer = network.middle[0]
    assert layer.lora_a.shape == (2, 8) and not layer.lora_b.any()
    nn.init.normal_(layer.lora_b)
    for x in torch.randn(5, 8):
        expected = layer.weight @ x + layer.bias + 6 / 2 * layer.lora_b @ (layer.lora_a @ x)
        torch.testing.assert_close(layer(x), expected)


def test_a_convolutions_adapter_is_a_change_of_its_weight():
    layer = nn.Conv2d(3, 5, 3, stride=2, padding=1, padding_mode="circular")
    network = lora(lambda: nn.ModuleDict({"a": layer, "head": nn.Linear(1, 1)}), rank=2, alpha=3.0)
    found, images = network["a"], torch.randn(2, 3, 8, 8)
    assert torch.equal(found(images), layer(images))
    nn.init.normal_(found.lora_b)
    expected = copy.deepcopy(layer)
    with torch.no_grad():
        expected.weight += 3 / 2 * (found.lora_b @ found.lora_a).view(5, 3, 3, 3)
    torch.testing.assert_close(found(images), expected(images), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.merged()(images), expected(images), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "others", [[], [L1(0.1), MaxNorm(0.1)], [EMA("network", 3)]], ids=["alone", "L1", "EMA"]
)
def test_only_adapters_and_head_move_and_merging_changes_nothing(others, tmp_path):
    network, options = (
        adapted(rank=4, alpha=2.0, dropout=0.1),
        {"val_check_interval": 4, "max_epochs": 2},
    )
    before = copy.deepcopy(network.state_dict())
    fit(Classify(network, adamw), digits(), tmp_path, others, **options)
    moved = {n for n, v in network.state_dict().items() if not torch.equal(v, before[n])}
    layers = ("body.features.0", "body.features.3", "middle.0")
    adapters = {f"{layer}.lora_{kind}" for layer in layers for kind in "ab"}
    assert moved == adapters | {"head.weight", "head.bias"}
    assert moved <= learned(network).keys()
    network.eval()
    plain, inputs = merged(network), torch.randn(64, 1, 8, 8)
    assert plain.state_dict().keys() == mixed().state_dict().keys()
    assert not any("lora" in name for name in plain.state_dict())
    torch.testing.assert_close(plain(inputs), network(inputs), rtol=1e-6, atol=1e-6)
    assert not torch.equal(plain.middle[0].weight, network.middle[0].weight)


def test_statistics_of_norms_that_are_trained_in_full_move(tmp_path):
    network = adapted(trained=["head", "body.features.1"])
    before = copy.deepcopy(network.state_dict())
    fit(Classify(network, adamw), digits(), tmp_path)
    moved = {n for n, v in network.state_dict().items() if not torch.equal(v, before[n])}
    assert "body.features.1.running_mean" in moved and "body.features.4.running_mean" not in moved


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"targets": "midle"}, "targets=midle: the layers that can have one are body.features.0, "),
        ({"trained": "haed"}, "trained=haed: the network has no such parameter"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(options, said):
    with pytest.raises(ValueError, match=f"^lora's {said}"):
        adapted(**options)


def test_layers_that_are_not_called_get_no_adapter():
    """Torch's attention takes out_proj's weight; an adapter in it would do nothing, in silence."""
    block = lambda: nn.ModuleDict({"head": nn.Linear(2, 2), "a": nn.MultiheadAttention(4, 2)})  # noqa: E731
    with pytest.raises(ValueError, match="layers that can have one are none at all"):
        lora(block)


# On the command line

BASE = {"class_path": "MLP", "init_args": {"widths": [16, 16]}}
LORA = ("--model.network=recipes.parts.wrappers.lora", "--model.network.network=MLP")
LORA += ("--model.network.network.widths=[16,16]", "--model.network.rank=4")
SHORT = ("--trainer.max_epochs=2", "--trainer.limit_train_batches=4")
OLD = ("--data.classes=[0,1,2,3,4]", "--model.network=MLP", "--model.network.widths=[16,16]")


@pytest.mark.slow
def test_pretrained_adapted_resumed_alone_and_exported(recipe, capsys):
    recipe("classify", "fit", "--name=base", *OLD, *SHORT)
    folder = Path("runs/classify")
    weights = ("--model.weights=runs/classify/base/network.pt", "--model.weights_except=head")
    recipe("classify", "fit", "--name=tuned", *LORA, *weights, *SHORT)
    config = yaml.safe_load((folder / "tuned/config.yaml").read_text())["model"]["network"]
    assert config["init_args"]["network"]["init_args"]["inputs"] == 64, "taken from the data"
    base = torch.load(folder / "base/network.pt", weights_only=True)
    last = torch.load(folder / "tuned/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(base["features.1.weight"], last["network.features.1.weight"])
    assert not torch.equal(base["head.weight"], last["network.head.weight"])
    assert last["network.features.3.lora_b"].any()
    # The file of the base is gone: the checkpoint alone goes on, and is tested.
    (folder / "base/network.pt").unlink()
    checkpoint = "--ckpt_path=runs/classify/tuned/checkpoints/last.ckpt"
    recipe("classify", "test", checkpoint)
    recipe("classify", "fit", checkpoint, "--trainer.max_epochs=3")
    assert rows(folder / "tuned")[-1]["epoch"] == 2

    from recipes.export.__main__ import main as export

    state = torch.load(folder / "tuned/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for kind, name in (("adapter", "adapter"), ("safetensors", "model")):
        export(["runs/classify/tuned", "--format", kind, "--which", "last"])
        found = load_file(folder / f"tuned/{name}.safetensors")
        if kind == "adapter":
            wanted = {f"features.{n}.lora_{k}" for n in (1, 3) for k in "ab"}
            assert found.keys() == wanted | {"head.weight", "head.bias"}
            assert all(torch.equal(v, state[f"network.{k}"]) for k, v in found.items())
        else:
            MLP(64, [16, 16]).load_state_dict(found)
    export(["runs/classify/tuned", "--format", "safetensors"])  # of the best weights
    merged_weights = load_file(folder / "tuned/model.safetensors")
    plain = torch.load(folder / "tuned/network.pt", weights_only=True)
    assert plain.keys() == merged_weights.keys()
    assert all(torch.equal(value, merged_weights[name]) for name, value in plain.items())
    assert "largest difference" in capsys.readouterr().out


def test_adapters_beside_weights_that_nobody_trained_are_said(recipe, caplog):
    few = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=2")
    recipe("classify", "fit", "--name=a", *LORA, *few)
    line = "--model.weights: the weights beside the adapters are as initialised"
    assert line in caplog.text
    caplog.clear()
    checkpoint = "--ckpt_path=runs/classify/a/checkpoints/last.ckpt"
    recipe("classify", "fit", checkpoint, "--trainer.max_epochs=2")
    assert line not in caplog.text, "a resumed run has its own"


def test_an_exported_adapter_is_read_beside_the_file_that_it_is_of(tmp_path):
    """By --model.weights: the base's weights, and then the adapters and the head."""
    from recipes.export.formats import adapter
    from recipes.parts.weights import sha256

    base, path = tmp_path / "base.pt", tmp_path / "adapter.safetensors"
    torch.save(MLP(64, [16, 16]).state_dict(), base)
    tuned = lora(lambda: MLP(64, [16, 16]), rank=4)
    give(tuned, str(base), "--model.weights")
    with torch.no_grad():
        for value in learned(tuned).values():
            value.normal_()
    expected = {name: value.clone() for name, value in tuned.state_dict().items()}
    facts = {"weights": {"network": {"path": str(base), "sha256": sha256(base)}}}
    adapter(SimpleNamespace(network=tuned), None, facts, path)

    again = lora(lambda: MLP(64, [16, 16]), rank=4)
    line = give(again, str(path), "--model.weights")
    assert line == f"--model.weights={path}: an adapter's 6 tensors beside {base}: 4 tensors"
    assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())
    other = lora(lambda: MLP(64, [16, 16]), rank=4)
    kept = other.head.weight.clone()
    give(other, str(path), "--model.weights", "head")
    assert torch.equal(other.head.weight, kept)
    assert torch.equal(other.features[1].lora_b, expected["features.1.lora_b"])

    two, alpha = (
        lora(lambda: MLP(64, [16, 16]), **o) for o in ({"rank": 2}, {"rank": 4, "alpha": 1})
    )
    for network in (MLP(64, [16, 16]), two, alpha):
        with pytest.raises(ValueError, match=r"is an adapter of another network: .*wrappers\.lora"):
            give(network, str(path), "--model.weights")
    torch.save(MLP(64, [16, 16]).state_dict(), base)
    with pytest.raises(ValueError, match=r"an adapter of .*base.pt, which is another file by now"):
        give(again, str(path), "--model.weights")
    base.unlink()
    with pytest.raises(ValueError, match=r"an adapter of .*base.pt, which is not there"):
        give(again, str(path), "--model.weights")
    adapter(SimpleNamespace(network=tuned), None, {}, path)
    with pytest.raises(ValueError, match="is an adapter of weights that were in no file"):
        give(again, str(path), "--model.weights")


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["ddp", "fsdp"])
def test_two_processes_adapt_as_one_does_and_export_what_it_does(overlay, recipe):
    flags = ("fit", "--config=digits", *LORA, *SHORT, "--trainer.callbacks+=Export")
    flags += ("--trainer.callbacks.module=network", "--trainer.callbacks.which=last")
    recipe("classify", *flags, "--name=one")
    two = (f"--config={overlay}", "--data.batch_size=32", "--name=two")
    ended_well(*ranks(2, "recipes.classify", *flags, *two))
    one, many = (Path("runs/classify", name) for name in ("one", "two"))
    assert difference(weights(one), weights(many)) < 1e-5
    assert weights(many)["network.features.3.lora_b"].any()
    first, second = (torch.load(run / "network.pt", weights_only=True) for run in (one, many))
    assert first.keys() == second.keys() == MLP(64, [16, 16]).state_dict().keys()
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)
