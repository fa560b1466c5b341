"""LossDrivenLR against torch's ReduceLROnPlateau, its own rule, and LRDecay beside it."""

import random

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from callbacks import KeyedNoise, LossDrivenLR, LRDecay
from callbacks.loss_driven_lr import Rule, State
from callbacks.schedules import Schedule
from recipes.classify import Classify
from recipes.parts.networks import MLP
from trains import digits, fit, weights


def scales(rule, values):
    """The scale after each value."""
    state, found = State(), []
    for value in values:
        state = rule(state, value)
        found.append(state.scale)
    return found


@pytest.mark.parametrize("cooldown", [0, 3])
@pytest.mark.parametrize("sign", [1, -1])
def test_without_a_way_up_it_is_torchs_reduce_on_plateau(cooldown, sign):
    random.seed(0)
    values = [1 + random.random() / (1 + t / 20) for t in range(200)]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        "min" if sign > 0 else "max",
        factor=0.7,
        patience=4,
        threshold=0.01,
        cooldown=cooldown,
        min_lr=0.1,
        eps=0,
    )
    rule = Rule(factor=0.7, patience=4, threshold=0.01, cooldown=cooldown, min_scale=0.1)
    expected = []
    for value in values:
        torchs.step(value if sign > 0 else 1 / value)
        expected.append(optimizer.param_groups[0]["lr"])
    found = scales(rule, values if sign > 0 else [-1 / value for value in values])
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0.1 == found[-1] < found[0] == 1


def test_it_rises_when_the_loss_grows_and_not_above_its_bound():
    rule = Rule(factor=0.5, factor_up=2.0, patience=1, max_scale=4.0, threshold=0.1)
    assert scales(rule, [1.0, 2.0, 2.0]) == [1, 1, 2]
    assert scales(rule, [1.0, *range(2, 20)])[-1] == 4
    assert scales(rule, [1.0, 1.05, 1.05, 1.05, 1.05]) == [1, 1, 0.5, 0.5, 0.25]  # stalls
    assert scales(rule, [1.0, 0.8, 0.6, 0.4]) == [1, 1, 1, 1]


def test_a_growth_is_counted_from_the_last_rise():
    rule = Rule(factor_up=2.0, patience=0, max_scale=100.0, threshold=0.1)
    assert scales(rule, [1.0, 2.0, 2.1, 2.3]) == [1, 2, 1, 2]


def test_a_small_loss_lowers_the_rate_also_while_it_improves():
    rule = Rule(factor=0.5, patience=0, small=0.5)
    assert scales(rule, [1.0, 0.8, 0.4, 0.3, 0.2]) == [1, 1, 0.5, 0.25, 0.125]


def test_losses_below_zero_improve_too():
    """torch's relative threshold calls -1.0 no improvement over -0.5, its margin has a sign."""
    rule = Rule(factor=0.5, patience=0, threshold=0.1)
    assert scales(rule, [-0.5, -1.0, -1.05, -2.0]) == [1, 1, 0.5, 0.5]


class Played(LightningModule):
    """Two networks; its losses are those that it is told."""

    automatic_optimization = False

    def __init__(self, losses):
        super().__init__()
        self.one, self.two = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        self.losses, self.rates = losses, []

    def training_step(self, batch, batch_idx):
        rates = []
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.one(batch).mean() + self.two(batch).mean())
            optimizer.step()
            rates.append(optimizer.param_groups[0]["lr"])
        self.rates.append(rates)
        value = torch.tensor(self.losses[len(self.rates) - 1])
        self.log("train/discriminator", value)
        return {"discriminator": value}

    def configure_optimizers(self):
        one = torch.optim.SGD(self.one.parameters(), 1.0)
        return [one, torch.optim.SGD(self.two.parameters(), 1.0)]

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(len(self.losses), 1))


LOSSES = [1.0, 0.9, 0.2, 0.2, 0.2, 0.9, 2.0, 4.0, 8.0, 8.0]
STEER = {"interval": "batch", "patience": 0, "small": 0.5, "factor_up": 1.5, "max_scale": 2.0}


@pytest.mark.parametrize("monitor", ["discriminator", "train/discriminator"])
def test_one_network_of_two_is_steered_by_its_own_loss(tmp_path, monitor):
    """From what the step returns, or from what it logs."""
    module = Played(LOSSES)
    callback = LossDrivenLR(monitor, **STEER, half_life=1e-3, optimizers=[1])
    fit(module, None, tmp_path, [callback], log_every_n_steps=1)
    rule = Rule(patience=0, small=0.5, factor_up=1.5, max_scale=2.0)
    expected = [1.0, *scales(rule, LOSSES)][:10]
    assert [two for _, two in module.rates] == pytest.approx(expected, rel=1e-6)
    assert {one for one, _ in module.rates} == {1.0}
    assert min(expected) < expected[-1] < 1


def test_the_loss_is_averaged_over_its_half_life(tmp_path):
    module = Played(LOSSES)
    callback = LossDrivenLR("discriminator", interval="batch", half_life=3)
    fit(module, None, tmp_path, [callback])
    weights = [0.5 ** ((10 - i) / 3) for i in range(1, 11)]
    expected = sum(w * loss for w, loss in zip(weights, LOSSES, strict=True)) / sum(weights)
    assert float(callback.average) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2, 5])
def test_accumulation_leaves_the_average_as_it_is(tmp_path, accumulate):
    """Lightning divides a returned loss by the batches that a step accumulates."""

    class Automatic(Played):
        def __init__(self):
            super().__init__(LOSSES)
            self.automatic_optimization = True

        def training_step(self, batch, batch_idx):
            return self.one(batch).sum() * 0 + LOSSES[batch_idx]

        def configure_optimizers(self):
            return torch.optim.SGD(self.one.parameters(), 1.0)

    callback = LossDrivenLR("loss", interval="batch", half_life=3)
    fit(Automatic(), None, tmp_path, [callback], accumulate_grad_batches=accumulate)
    weights = [0.5 ** ((10 - i) / 3) for i in range(1, 11)]
    expected = sum(w * loss for w, loss in zip(weights, LOSSES, strict=True)) / sum(weights)
    assert float(callback.average) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("order", [1, -1])
def test_beside_lr_decay_the_two_multiply(tmp_path, order):
    module = Played(LOSSES)
    steer = LossDrivenLR("discriminator", **STEER, half_life=1e-3, multiply=True, optimizers=[1])
    fit(module, None, tmp_path, [LRDecay("linear", final=0.5), steer][::order])
    alone = Played(LOSSES)
    steer = LossDrivenLR("discriminator", **STEER, half_life=1e-3, optimizers=[1])
    fit(alone, None, tmp_path, [steer])
    decay = Schedule("linear", 10, final=0.5)
    for t, (one, two) in enumerate(module.rates):
        assert one == decay(t) and two == pytest.approx(alone.rates[t][1] * decay(t), rel=1e-12)


def test_sharing_an_optimizer_is_refused_otherwise(tmp_path):
    with pytest.raises(ValueError, match=r"both set the rate of SGD.*multiply=true"):
        fit(Played(LOSSES), None, tmp_path, [LRDecay(), LossDrivenLR()])
    pair = [LRDecay(optimizers=[0]), LossDrivenLR("discriminator", **STEER, optimizers=[1])]
    fit(Played(LOSSES), None, tmp_path, pair)
    pair = [LossDrivenLR("discriminator"), LossDrivenLR("other", optimizers=[1])]
    with pytest.raises(ValueError, match="two LossDrivenLR scale the rate of SGD-1"):
        fit(Played(LOSSES), None, tmp_path, pair)


def test_at_epochs_it_follows_a_logged_metric(tmp_path):
    module = Classify(MLP(64, [8]), lambda params: torch.optim.SGD(params, 0.1))
    seen = []

    class Recording(LossDrivenLR):
        def on_train_epoch_end(self, trainer, pl_module):
            super().on_train_epoch_end(trainer, pl_module)
            accuracy = float(trainer.callback_metrics["val/accuracy"])
            seen.append((accuracy, self.state.scale))

    callback = Recording("val/accuracy", mode="max", patience=0, threshold=0.05)
    fit(module, digits(), tmp_path, [callback], max_epochs=12)
    rule = Rule(patience=0, threshold=0.05)
    assert [scale for _, scale in seen] == scales(rule, [-accuracy for accuracy, _ in seen])
    assert seen[-1][1] < 1


def test_a_run_resumes_from_a_validation_that_ends_an_epoch(tmp_path):
    """Its checkpoint is older than the epoch's end, which is then reached without any metrics."""
    found = []
    files = ["epoch=0-step=16.ckpt", "epoch=1-step=24.ckpt", "epoch=4-step=80.ckpt"]
    for resumed in (None, *files):
        torch.manual_seed(0)
        module = Classify(MLP(64, [8]), lambda params: torch.optim.SGD(params, 1.0))
        callback = LossDrivenLR("val/loss", patience=0, threshold=0.2)
        options = {"save_top_k": -1, "enable_version_counter": False}
        every = ModelCheckpoint(tmp_path, "{epoch}-{step}", "val/loss", **options)
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            max_epochs=6,
            val_check_interval=0.5,
            callbacks=[KeyedNoise(0), callback, every],
        )
        path = resumed and tmp_path / resumed
        trainer.fit(module, datamodule=digits(), ckpt_path=path)
        found.append((callback.state, callback.count, weights(module.network)))
    whole, *others = found
    saved = torch.load(tmp_path / files[-1], weights_only=True)["callbacks"]
    (state,) = [value["state"] for key, value in saved.items() if key.startswith("LossDrivenLR")]
    assert whole[0].scale < state["scale"] < 1, "it had been lowered, and was lowered again"
    for other in others:
        assert other[:2] == whole[:2] and torch.equal(other[2], whole[2])


def test_epochs_without_a_validation_do_not_count(tmp_path):
    callback = LossDrivenLR("val/loss")
    flags = {"max_epochs": 5, "check_val_every_n_epoch": 2}
    fit(Classify(MLP(64, [8])), digits(), tmp_path, [callback], **flags)
    assert callback.count == 2


def test_the_modules_own_scheduler_is_refused(tmp_path):
    class Scheduled(Played):
        def configure_optimizers(self):
            optimizers = super().configure_optimizers()
            return optimizers, [torch.optim.lr_scheduler.StepLR(o, 1) for o in optimizers]

    with pytest.raises(ValueError, match="LossDrivenLR and the lr_scheduler of Scheduled"):
        fit(Scheduled(LOSSES), None, tmp_path, [LossDrivenLR("discriminator", "batch")])


def test_what_is_not_logged_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"monitor val/los is not logged, but .*val/loss"):
        fit(Classify(MLP(64, [8])), digits(), tmp_path, [LossDrivenLR("val/los")])
