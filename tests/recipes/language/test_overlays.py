"""Language on several processes, compiled, and in bfloat16: it trains what one process does."""

from pathlib import Path

import pytest
import torch

from forks import ended_well, ranks
from launches import difference, weights
from marks import slow
from recipes.parts.averages import evaluated_weights
from running_text import LINES, NETWORKS, SMALL
from trains import middle_of_epoch, rows


@pytest.fixture
def lines(tmp_path):
    (tmp_path / "lines.txt").write_text(LINES)
    return tmp_path / "lines.txt"


# The ranks' batches are compared in tests/datamodules/test_text.py.
@pytest.mark.parametrize(
    ("overlay", "network"),
    [
        slow("ddp", "lstm"),
        slow("fsdp", "lstm"),
        slow("fsdp", "transformer"),
        slow("tensor_parallel", "transformer"),
        slow("large", "transformer"),  # one process keeps all activations
    ],
)
def test_two_processes_train_what_one_does(recipe, lines, overlay, network):
    """Tied weights, their norm that is clipped, and their average, too."""
    sgd_ = ("--model.optimizer=SGD", "--model.network.width=8", "--model.network.tied=true")
    flags = ("fit", "--config=shakespeare", *SMALL, *sgd_)
    if network == "lstm":
        flags += ("--model.optimizer.lr=0.5",)
    else:
        flags += ("--model.network=TransformerLanguageModel", "--model.optimizer.lr=0.05")
        flags += ("--data.order=blocks", "--trainer.callbacks+=GradientClip")
        flags += ("--trainer.callbacks.limit=0.5", "--trainer.callbacks+=EMA")
        flags += ("--trainer.callbacks.module=network",)
    batch = 4 if overlay == "tensor_parallel" else 2
    half = (f"--data.batch_size={batch}", f"--config={overlay}", "--trainer.devices=2")
    half += ("--trainer.precision=32-true",)
    recipe("language", *flags, "--name=one")
    ended_well(*ranks(2, "recipes.language", *flags, *half, "--name=two"))
    one, two = (
        torch.load(f"runs/language/{name}/checkpoints/last.ckpt", weights_only=True)
        for name in ("one", "two")
    )
    for found in (one["state_dict"], two["state_dict"], evaluated_weights(two)):
        assert torch.equal(found["network.head.weight"], found["network.embedding.weight"])
    torch.testing.assert_close(two["state_dict"], one["state_dict"])
    torch.testing.assert_close(evaluated_weights(two), evaluated_weights(one))
    if network == "lstm":
        torch.testing.assert_close(one["state"], two["state"])  # in the order of the streams
    else:
        head = "network.head.weight"
        assert not torch.equal(evaluated_weights(one)[head], one["state_dict"][head])
    metrics = [rows(Path("runs/language", name))[-1] for name in ("one", "two")]
    assert metrics[0]["val/loss"] == pytest.approx(metrics[1]["val/loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_a_compiled_network_trains_the_same(recipe, lines, name):
    """Tied weights stay one, and the state goes on from batch to batch."""
    flags = ("fit", *SMALL, *NETWORKS[name], "--model.network.tied=true")
    flags += ("--model.network.dropout=0", "--model.optimizer=SGD", "--model.optimizer.lr=0.05")
    recipe("language", "fit", *flags[1:], "--name=eager")
    recipe("language", "fit", "--config=compile", *flags[1:], "--name=compiled")
    eager, compiled = (weights(Path("runs/language", each)) for each in ("eager", "compiled"))
    assert difference(eager, compiled) < 1e-6
    assert torch.equal(compiled["network.head.weight"], compiled["network.embedding.weight"])


def test_a_run_in_bfloat16_goes_on_in_float32(recipe, lines):
    """In the middle of an epoch, from the states that it carries."""
    flags = (*SMALL, *NETWORKS["lstm"], *middle_of_epoch("runs/language/a"))
    recipe("language", "fit", "--config=bf16", *flags, "--name=a", "--trainer.max_steps=10")
    path = "runs/language/a/checkpoints/middle.ckpt"
    longer = ("--trainer.precision=32-true", "--trainer.max_steps=12")
    recipe("language", "fit", f"--ckpt_path={path}", *longer)
    losses = [row["train/loss"] for row in rows(Path("runs/language/a")) if "train/loss" in row]
    assert len(losses) == 12 and losses[-1] < losses[0]
