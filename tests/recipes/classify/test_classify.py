"""Classify: its loss against the definition, its metrics, and what it saves."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from marks import some
from recipes.classify import Classify
from recipes.parts.labels import accuracy, errors
from recipes.parts.networks import MLP
from trains import digits, fit

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=4")


class Table(nn.Module):
    """A network whose logits are its input."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs):
        return self.scale * inputs


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_loss_is_cross_entropy_with_smoothed_labels(smoothing):
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, 3.0]])
    targets = torch.tensor([0, 1])
    slow = 0.0
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        log_norm = math.log(sum(math.exp(z) for z in row))
        for c, z in enumerate(row):
            weight = (1 - smoothing) * (c == target) + smoothing / 3
            slow -= weight * (z - log_norm) / 2
    module = Classify(Table(), label_smoothing=smoothing)
    silent = SimpleNamespace(should_update_logs=False)
    module.trainer = SimpleNamespace(_logger_connector=silent, strategy=None)
    assert module.training_step((logits, targets), 0).item() == pytest.approx(slow, rel=1e-6)


def test_accuracy_and_errors_count_the_largest_logit():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [5.0, 4.0]])
    targets = torch.tensor([0, 1, 1])
    assert accuracy(logits, targets).item() == pytest.approx(2 / 3)
    assert errors(logits, targets).item() == 1


def test_validation_is_the_mean_over_all_examples(tmp_path):
    """360 examples in batches of 100 are not a mean of four batches' means."""
    module, trainer = fit(Classify(MLP(64, [8])), digits(batch_size=100), tmp_path, max_epochs=1)
    images, targets = trainer.datamodule.tables["val"].gather(torch.arange(360), 0)
    with torch.no_grad():
        logits = module(trainer.datamodule.scale(images))
    metrics = trainer.callback_metrics
    assert metrics["val/accuracy"].item() == pytest.approx(accuracy(logits, targets).item())
    assert metrics["val/errors"].item() == errors(logits, targets).item()
    loss = nn.functional.cross_entropy(logits, targets)
    assert metrics["val/loss"].item() == pytest.approx(loss.item(), rel=1e-5)


def test_it_learns(tmp_path):
    _, trainer = fit(Classify(MLP(64, [32])), digits(), tmp_path, max_epochs=8)
    assert trainer.callback_metrics["val/accuracy"] > 0.85


def test_terms_are_logged_only_on_the_steps_that_are_kept(tmp_path):
    calls = []

    class Counting(Classify):
        def log_dict(self, terms, **kwargs):
            calls.append(self.trainer.training and list(terms))
            super().log_dict(terms, **kwargs)

    fit(Counting(MLP(64, [8])), digits(), tmp_path, max_epochs=2, log_every_n_steps=8, logger=True)
    assert calls.count(["train/loss"]) == 4  # 32 batches


def test_a_training_that_diverges_leaves_no_network(recipe):
    """At this rate the weights stay finite; the running variances of batch-norm do not."""
    with pytest.raises(FloatingPointError, match=r"diverged .*running_var is not finite"):
        recipe(
            "classify", "fit", "--name=lost", "--model.optimizer.lr=1e9", "--trainer.max_epochs=3"
        )
    left = Path("runs/classify/lost")
    assert not [*left.glob("*.pt"), *left.glob("checkpoints/*")]


@pytest.mark.parametrize("use", some(["test", "validate", "predict", "fit"], ["fit"]))
def test_a_checkpoint_of_a_training_that_diverged_is_refused(recipe, use):
    recipe("classify", "fit", "--name=good", *SHORT)
    path = "runs/classify/good/checkpoints/last.ckpt"
    saved = torch.load(path, weights_only=True)
    saved["state_dict"]["network.features.1.running_var"][0] = torch.inf
    torch.save(saved, path)
    with pytest.raises(FloatingPointError, match=rf"{path}: .*running_var is not finite"):
        recipe("classify", use, f"--ckpt_path={path}")
