"""Reversible networks: equal to those that keep their activations, in less memory."""

from pathlib import Path

import pytest
import torch
from torch import nn

from forks import ended_well, ranks
from launches import difference, weights
from recipes.classify import Classify
from recipes.parts.activation_checkpointing import checkpoint_activations
from recipes.parts.reversible import Reversible, ReversibleBlock, RevNet, residual
from trains import digits, fit

SMALL = {"inputs": 1, "widths": [4, 4, 8], "blocks": 3}


def pair(**options):
    """The same weights twice: activations computed again, and kept."""
    torch.manual_seed(0)
    again = RevNet(**SMALL | options)
    kept = RevNet(**SMALL | options, keep=True)
    kept.load_state_dict(again.state_dict())
    return again, kept


def trained(network, pictures, targets):
    """The loss, the gradients and the buffers after one pass forward and back."""
    pictures = pictures.clone().requires_grad_()
    loss = nn.functional.cross_entropy(network(pictures), targets)
    loss.backward()
    found = {name: weight.grad for name, weight in network.named_parameters()}
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    return {"loss": loss.detach(), "pictures": pictures.grad} | found | buffers


@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_gradients_and_batch_norm_are_those_of_kept_activations(dtype, off):
    again, kept = (network.to(dtype) for network in pair())
    batch = torch.randn(16, 1, 8, 8, dtype=dtype), torch.arange(16) % 10
    one, two = trained(again, *batch), trained(kept, *batch)
    for name, value in two.items():
        torch.testing.assert_close(one[name], value, rtol=0, atol=off)
    assert again.stages[1][0].f[0].num_batches_tracked == 1


def test_frozen_weights_get_no_gradient_and_the_others_the_right_one():
    again, kept = pair()
    batch = torch.randn(16, 1, 8, 8), torch.arange(16) % 10
    for network in (again, kept):
        network.stages[1][1].f.requires_grad_(False)
        network.stem.requires_grad_(False)
    one, two = trained(again, *batch), trained(kept, *batch)
    assert one["stages.1.1.f.2.weight"] is None and one["stem.weight"] is None
    torch.testing.assert_close(one["stages.1.0.g.2.weight"], two["stages.1.0.g.2.weight"])


def blocks(count, dtype=torch.float32):
    torch.manual_seed(0)
    made = [ReversibleBlock(residual(8), residual(8)) for _ in range(count)]
    return Reversible(*made).to(dtype)


def inverted(row, outputs):
    for block in reversed(row):
        outputs = block.inverse(outputs)
    return outputs


def test_the_input_comes_back_in_32_bits_and_not_in_16():
    """Why bfloat16 is refused: 50 blocks are off by more than what they were given."""
    inputs = torch.randn(4, 16, 8, 8)
    with torch.no_grad():
        row = blocks(50)
        off = (inverted(row, row(inputs)) - inputs).abs().max()
        half = blocks(50, torch.bfloat16)
        lost = (inverted(half, half(inputs.bfloat16())) - inputs).abs().max()
    assert off < 1e-3 and lost > 1


def kept_for_backward(network, pictures):
    """Bytes of the tensors that a forward pass keeps for the backward pass, weights left out."""
    weights = {weight.data_ptr() for weight in network.parameters()}
    sizes = {}

    def keep(tensor):
        if tensor.data_ptr() not in weights:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = network(pictures)
    assert outputs.requires_grad
    return sum(sizes.values())


def test_memory_does_not_grow_with_depth():
    pictures = torch.randn(8, 1, 16, 16)
    again, kept, checkpointed = (
        [kept_for_backward(make(count), pictures) for count in (4, 16)]
        for make in (
            lambda count: RevNet(1, 10, [8, 8], count),
            lambda count: RevNet(1, 10, [8, 8], count, keep=True),
            lambda count: checkpoint_activations(RevNet(1, 10, [8, 8], count, keep=True)),
        )
    )
    assert again[1] == again[0]
    assert kept[1] > 3 * kept[0]
    assert again[1] < checkpointed[1] < kept[1]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_16_bits_are_refused_but_for_kept_activations(precision, tmp_path):
    again, kept = (Classify(network) for network in pair())
    with pytest.raises(ValueError, match=r"--trainer.precision: a reversible network"):
        fit(again, digits(), tmp_path, max_steps=1, precision=precision)
    fit(kept, digits(), tmp_path, max_steps=1, precision=precision)


def test_a_run_is_that_of_kept_activations(tmp_path):
    again, kept = (Classify(network) for network in pair())
    for module in (again, kept):
        fit(module, digits(), tmp_path, max_steps=3)
    for one, two in zip(again.parameters(), kept.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_compiled_it_is_the_same():
    """What is around the rows is."""
    again, _ = pair()
    pictures = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(torch.compile(again, backend="eager")(pictures), again(pictures))


@pytest.mark.parametrize("widths", [[8], [8, 7]])
def test_odd_widths_are_refused(widths):
    with pytest.raises(ValueError, match="two or more even numbers"):
        RevNet(widths=widths)


def test_dropout_is_refused():
    with pytest.raises(ValueError, match="dropout would drop other units"):
        ReversibleBlock(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)), nn.Linear(2, 2))


FLAGS = ("--config=digits", "--model.network=RevNet", "--model.network.widths=[4,4]")
FLAGS += ("--trainer.max_steps=3", "--model.optimizer=SGD", "--model.optimizer.lr=0.1")


@pytest.mark.slow
def test_two_processes_train_what_kept_activations_do():
    for keep in ("true", "false"):
        own = (f"--model.network.keep={keep}", f"--name={keep}", "--config=ddp")
        ended_well(*ranks(2, "recipes.classify", "fit", *FLAGS, *own))
    one, two = (weights(Path("runs/classify", keep)) for keep in ("true", "false"))
    assert difference(one, two) < 1e-5


@pytest.mark.slow
def test_sharded_it_is_refused():
    both = ranks(2, "recipes.classify", "fit", *FLAGS, "--config=fsdp")
    assert [process.wait() for process in both] == [1, 1]
    assert "error: --trainer.strategy: a reversible" in "".join(p.output() for p in both)
