"""FakeQuantize: its rounding against the definition, and training around it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from callbacks import EMA, FakeQuantize
from callbacks.fake_quantize.quantizers import Quantizers
from callbacks.fake_quantize.rounding import (
    INPUTS,
    WEIGHTS,
    input_step,
    rounded_input,
    rounded_weight,
    weight_steps,
)
from forks import ended_well, ranks
from launches import difference, weights
from recipes.classify import Classify
from recipes.parts.networks import MLP, ConvNet
from trains import digits, fit


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_rounding_weights_again_changes_nothing():
    weight = drawn(7, 5, 3)
    once = rounded_weight(weight, weight_steps(weight))
    assert torch.equal(rounded_weight(once, weight_steps(once)), once) and not once.equal(weight)


def test_rounding_inputs_again_changes_nothing():
    inputs = drawn(1000)
    step = input_step(*inputs.aminmax())
    once = rounded_input(inputs, *step)
    assert torch.equal(rounded_input(once, *step), once) and not once.equal(inputs)


@pytest.mark.parametrize("shift", [-9, 0, 9])
def test_the_error_is_at_most_half_a_step_and_0_is_exact(shift):
    inputs = drawn(10000) + shift
    step, zero = input_step(*inputs.aminmax())
    assert (rounded_input(inputs, step, zero) - inputs).abs().max() <= step * 0.5001
    assert rounded_input(torch.zeros(1), step, zero) == 0
    weight = drawn(50, 40)
    steps = weight_steps(weight)
    error = (rounded_weight(weight, steps) - weight).abs()
    assert (error <= steps.unsqueeze(1) * 0.5001).all() and error.max() > 0.45 * steps.max()
    assert torch.equal(
        rounded_weight(torch.zeros(3, 2), weight_steps(torch.zeros(3, 2))), weight[:3, :2] * 0
    )


def test_the_gradient_passes_but_where_inputs_are_cut_off():
    weight = drawn(4, 3).requires_grad_()
    rounded_weight(weight, weight_steps(weight)).sum().backward()
    assert torch.allclose(weight.grad, torch.ones(4, 3))
    inputs = torch.tensor([-5.0, -0.5, 0.0, 0.7, 5.0], requires_grad=True)
    step = input_step(torch.tensor(-1.0), torch.tensor(1.0))
    rounded_input(inputs, *step).sum().backward()
    assert torch.allclose(inputs.grad, torch.tensor([0.0, 1, 1, 1, 0]))


def test_products_are_those_of_32_bit_integers():
    inputs, weight = drawn(16, 300), drawn(20, 300, seed=1)
    (step, zero), steps = input_step(*inputs.aminmax()), weight_steps(weight)
    found = rounded_input(inputs, step, zero).double() @ rounded_weight(weight, steps).double().T
    q = np.clip(np.round((inputs / step + zero).numpy()), 0, INPUTS).astype(np.int32)
    whole = np.round((weight / steps.unsqueeze(1)).numpy()).astype(np.int32)
    assert np.abs(whole).max() == WEIGHTS and q.min() == 0 and q.max() == INPUTS
    product = torch.from_numpy((q - int(zero)) @ whole.T)
    torch.testing.assert_close(
        found, product * (step.double() * steps.double()), rtol=1e-6, atol=1e-6
    )


def test_two_products_fit_into_16_bits():
    """As processors without VNNI add them; with all 8 bits of a weight they do not."""
    assert 2 * INPUTS * WEIGHTS < 2**15 <= 2 * INPUTS * 127


def by_hand(network, ranges, inputs):
    """An MLP's logits, rounded layer by layer."""
    hidden = inputs.flatten(1)
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            hidden = rounded_input(hidden, *input_step(*ranges[name]))
            hidden = (
                hidden @ rounded_weight(layer.weight, weight_steps(layer.weight)).T + layer.bias
            )
        elif isinstance(layer, nn.ReLU):
            hidden = hidden.relu()
    return hidden.detach()


class Seen(FakeQuantize):
    """Keeps the logits of the last validation batch."""

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, *args):
        self.batch, self.logits = batch[0].clone(), pl_module(batch[0]).clone()
        self.weights = {k: v.clone() for k, v in pl_module.network.state_dict().items()}


@pytest.mark.parametrize("averaged", [False, True])
def test_validation_rounds_what_is_evaluated(tmp_path, averaged):
    """Also the average of EMA; afterwards the network computes as before, with the same names."""
    torch.manual_seed(0)
    module = Classify(MLP(64, [32, 16]))
    names = [*module.state_dict()]
    callback = Seen("network", start=3)
    averages = [EMA("network", half_life=5)] * averaged
    fit(module, digits(), tmp_path, [*averages, callback])
    evaluated = MLP(64, [32, 16]).eval()
    evaluated.load_state_dict(callback.weights)
    expected = by_hand(evaluated, callback.ranges, callback.batch)
    torch.testing.assert_close(callback.logits, expected, rtol=1e-4, atol=1e-5)
    plain = evaluated(callback.batch).detach()
    assert (plain - expected).abs().max() > 1e-3, "the rounding is seen"
    assert [*module.state_dict()] == names
    own = MLP(64, [32, 16])
    own.load_state_dict(module.network.state_dict())
    assert torch.equal(module.network(callback.batch), own(callback.batch))


def test_nothing_is_rounded_before_the_start(tmp_path):
    callback = Seen("network", start="1ep")
    fit(Classify(MLP(64, [8])), digits(), tmp_path, [callback])
    plain = MLP(64, [8]).eval()
    plain.load_state_dict(callback.weights)
    assert torch.equal(plain(callback.batch), callback.logits)
    assert callback.ranges.keys() == {"features.1", "head"}


def test_a_range_is_an_average_over_batches(tmp_path):
    seen = []

    class Batches(FakeQuantize):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            seen.append(torch.stack(batch[0].aminmax()))
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    callback = Batches("network", start=2, decay=0.5)
    fit(Classify(MLP(64, [8])), digits(), tmp_path, [callback])
    shares = 0.5 ** torch.arange(len(seen) - 1, -1, -1).unsqueeze(1)
    expected = (torch.stack(seen) * shares).sum(0) / shares.sum()
    torch.testing.assert_close(torch.stack(callback.ranges["features.1"]), expected)


def test_convolutions_and_pools_are_rounded():
    network = ConvNet([4], 10).eval()
    quantizers = Quantizers(network, {})
    quantizers.is_observing = True
    network(drawn(2, 1, 8, 8))
    assert quantizers.seen.keys() == {"features.0", "features.3", "features.6", "head"}
    quantizers.remove()


def test_what_cannot_be_rounded_is_said(tmp_path):
    with pytest.raises(ValueError, match="FakeQuantize's module=student: there is no such module"):
        fit(Classify(MLP(64, [8])), digits(), tmp_path, [FakeQuantize("student")])
    norm = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64))
    with pytest.raises(ValueError, match="FakeQuantize: Sequential has no layer to be rounded"):
        fit(Classify(norm), digits(), tmp_path, [FakeQuantize("network")])


def test_a_layer_that_fails_keeps_its_weight():
    layer = nn.Linear(3, 2)
    quantizers = Quantizers(layer, {"": (torch.tensor(-1.0), torch.tensor(1.0))})
    quantizers.is_rounding = True
    with pytest.raises(RuntimeError):
        layer(torch.ones(1, 4))
    assert "weight" not in layer.__dict__ and isinstance(layer.weight, nn.Parameter)


def test_it_is_evaluated_after_training_too(tmp_path):
    """By a checkpoint, in another trainer: the ranges are in it."""
    callback = Seen("network", start=3)
    _, trainer = fit(Classify(MLP(64, [8])), digits(), tmp_path, [callback])
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = Seen("network", start=3)
    other = Trainer(accelerator="cpu", logger=False, callbacks=[again], enable_progress_bar=False)
    other.validate(Classify(MLP(64, [8])), digits(), tmp_path / "a.ckpt", verbose=False)
    assert torch.equal(again.logits, callback.logits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overlay", "precision", "apart"), [("ddp", "64-true", 1e-9), ("fsdp", "32-true", 1e-3)]
)
def test_two_processes_round_as_one_does_and_resume(overlay, precision, apart, recipe):
    """In float32, a sum in another order may fall to the other side of an edge."""
    flags = ("fit", "--config=digits", "--trainer.max_steps=16")
    flags += (f"--trainer.precision={precision}",)
    flags += ("--model.network=MLP", "--model.network.widths=[16,16]")
    flags += ("--trainer.callbacks+=FakeQuantize", "--trainer.callbacks.start=3")
    recipe("classify", *flags, "--name=one")
    two = (f"--config={overlay}", "--data.batch_size=32", "--trainer.callbacks+=ModelCheckpoint")
    two += ("--trainer.callbacks.every_n_train_steps=8", "--trainer.callbacks.save_top_k=-1")
    two += ("--trainer.callbacks.filename={step}",)
    ended_well(*ranks(2, "recipes.classify", *flags, *two, "--name=two"))
    folder = Path("runs/classify")
    one, whole = weights(folder / "one"), weights(folder / "two")
    assert difference(one, whole) < apart
    (middle,) = (folder / "two").rglob("step=8.ckpt")
    shutil.copytree(folder / "two", folder / "cut")
    path = folder / "cut" / middle.relative_to(folder / "two")
    ended_well(*ranks(2, "recipes.classify", "fit", f"--ckpt_path={path}"))
    assert difference(weights(folder / "cut"), whole) == 0
