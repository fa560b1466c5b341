"""LRDecay against its formula, torch's schedulers, and itself under other ways of training."""

import math

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from callbacks import LRDecay
from callbacks.lr_decay import multiplier


def test_cosine_is_torchs_cosine():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=29, eta_min=0.1)
    for step in range(30):
        expected = optimizer.param_groups[0]["lr"]
        assert multiplier(step, 30, "cosine", 0, 0.1) == pytest.approx(expected, abs=1e-12)
        optimizer.step()
        scheduler.step()


def test_linear_is_torchs_linear():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.2, total_iters=29)
    for step in range(30):
        expected = optimizer.param_groups[0]["lr"]
        assert multiplier(step, 30, "linear", 0, 0.2) == pytest.approx(expected, abs=1e-12)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_warm_up_rises_linearly_to_the_peak_and_the_last_step_is_final(schedule):
    values = [multiplier(step, 50, schedule, 10, 0.1) for step in range(60)]
    assert values[:10] == [(step + 1) / 10 for step in range(10)]
    assert max(values) == 1 == values[9] == values[10]
    last = 1 if schedule == "constant" else 0.1
    assert values[49:] == pytest.approx([last] * 11)


def test_cosine_is_its_formula_after_warm_up():
    for step in range(10, 50):
        x = (step - 10) / 39
        expected = 0.1 + 0.9 * (1 + math.cos(math.pi * x)) / 2
        assert multiplier(step, 50, "cosine", 10, 0.1) == expected


class Line(LightningModule):
    """Fits one weight; logs the learning rates that its optimizers really had."""

    def __init__(self, manual=False):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.automatic_optimization = not manual
        self.rates = []

    def training_step(self, batch, batch_idx):
        self.rates.append(
            [group["lr"] for o in self.trainer.optimizers for group in o.param_groups]
        )
        loss = self.layer(batch).square().mean()
        if not self.automatic_optimization:
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(self.layer(batch).square().mean())
                optimizer.step()
        return loss

    def configure_optimizers(self):
        parameters = self.layer.parameters()
        if self.automatic_optimization:
            return torch.optim.SGD(parameters, lr=0.5)
        parameters = list(parameters)
        return [torch.optim.SGD(parameters[:1], lr=0.5), torch.optim.Adam(parameters[1:], lr=0.1)]

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(20, 1), batch_size=2)


def rates(tmp_path, manual=False, **trainer):
    module = Line(manual)
    Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[LRDecay(warmup=3, final=0.1)],
        **trainer,
    ).fit(module)
    return module.rates


EXPECTED = [multiplier(step, 30, "cosine", 3, 0.1) for step in range(30)]


def test_rates_are_the_formula_under_automatic_optimization(tmp_path):
    assert rates(tmp_path, max_epochs=3) == [[0.5 * factor] for factor in EXPECTED]


def test_rates_are_the_same_under_manual_optimization(tmp_path):
    expected = [[0.5 * factor, 0.1 * factor] for factor in EXPECTED]
    assert rates(tmp_path, manual=True, max_epochs=3) == expected


def test_accumulation_changes_nothing_because_batches_are_counted(tmp_path):
    found = rates(tmp_path, max_epochs=3, accumulate_grad_batches=2)
    assert found == [[0.5 * factor] for factor in EXPECTED]


def test_max_steps_bounds_the_run(tmp_path):
    expected = [[0.5 * multiplier(step, 15, "cosine", 3, 0.1)] for step in range(15)]
    assert rates(tmp_path, max_epochs=3, max_steps=15) == expected


def test_max_steps_are_optimizer_steps_and_an_epochs_last_one_is_incomplete(tmp_path):
    """Epochs of 10 batches in steps of 3, 3, 3 and 1: 6 steps are 16 batches."""
    found = rates(tmp_path, max_epochs=3, max_steps=6, accumulate_grad_batches=3)
    assert found == [[0.5 * multiplier(step, 16, "cosine", 3, 0.1)] for step in range(16)]


def test_an_unbounded_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--trainer.max_epochs"):
        rates(tmp_path, max_epochs=-1)
