"""Recurrent layers in bfloat16 on processors that have no kernel for it, and what is said there."""

import logging

import pytest
import torch
from torch import nn

from recipes.parts import kernels
from recipes.parts.kernels import LACKS_BF16, run_recurrent
from recipes.running import machine
from recipes.running.messages import one_line

INPUTS = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))


def halves():
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("lacks", [True, False] if not LACKS_BF16 else [True])
def test_an_lstm_is_read_in_bfloat16_on_every_processor(monkeypatch, lacks):
    monkeypatch.setattr(kernels, "LACKS_BF16", lacks)
    layer = nn.LSTM(3, 5, 2, batch_first=True)
    exact, state = layer(INPUTS)
    with halves():
        rounded, carried = run_recurrent(layer, INPUTS)
        second, _ = run_recurrent(layer, INPUTS, carried)
    assert {rounded.dtype, second.dtype, *(part.dtype for part in carried)} == {torch.bfloat16}
    torch.testing.assert_close(rounded.float(), exact, atol=0.02, rtol=0.02)
    torch.testing.assert_close(second.float(), layer(INPUTS, state)[0], atol=0.02, rtol=0.02)
    second.float().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in layer.parameters())


def test_in_float32_it_is_torchs_own():
    for layer in (nn.LSTM(3, 5, batch_first=True), nn.GRU(3, 5, batch_first=True)):
        assert torch.equal(run_recurrent(layer, INPUTS)[0], layer(INPUTS)[0])


@pytest.mark.skipif(not LACKS_BF16, reason="this processor computes bfloat16")
def test_torchs_own_fails_there_and_the_line_says_what_to_do():
    with halves(), pytest.raises(RuntimeError, match="primitive descriptor") as caught:
        nn.LSTM(3, 5, batch_first=True)(INPUTS)
    assert one_line(caught.value).endswith("on this processor: --trainer.precision=32-true")


def test_the_line_of_a_layer_without_a_kernel():
    said = "could not create a primitive descriptor for the LSTM forward propagation primitive. Run"
    assert one_line(RuntimeError(said)) == (
        "torch cannot compute the network's LSTM in bfloat16 on this processor: "
        "--trainer.precision=32-true"
    )


@pytest.mark.parametrize(
    ("lacks", "precision", "told"),
    [(True, "bf16-mixed", 1), (True, "32-true", 0), (False, "bf16-mixed", 0)],
)
def test_slow_precision_is_noted(monkeypatch, caplog, lacks, precision, told):
    monkeypatch.setattr(machine, "LACKS_BF16", lacks)
    with caplog.at_level(logging.INFO):
        machine.note_slow_precision(precision)
    notes = [record.getMessage() for record in caplog.records]
    assert len(notes) == told and all("--trainer.precision=32-true" in note for note in notes)
