"""LRDecay and HyperparameterSchedule under every way of training, and the lengths they take."""

import math

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging

from callbacks import EMA, HyperparameterSchedule, LossDrivenLR, LRDecay
from callbacks.lengths import batches
from callbacks.optimizers import set_setting
from callbacks.schedules import OPTIONS, Schedule


def multiplier(step, length, warmup=3, final=0.1):
    return Schedule("cosine", length, warmup=warmup, final=final)(step)


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


def rates(tmp_path, manual=False, callbacks=(), **trainer):
    module = Line(manual)
    callbacks = list(callbacks) or [LRDecay(warmup=3, final=0.1)]
    Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        **trainer,
    ).fit(module)
    return module.rates


EXPECTED = [multiplier(step, 30) for step in range(30)]


def test_rates_are_the_formula_under_automatic_optimization(tmp_path):
    assert rates(tmp_path, max_epochs=3) == [[0.5 * factor] for factor in EXPECTED]


def test_rates_are_the_same_under_manual_optimization(tmp_path):
    expected = [[0.5 * factor, 0.1 * factor] for factor in EXPECTED]
    assert rates(tmp_path, manual=True, max_epochs=3) == expected


def test_accumulation_changes_nothing_because_batches_are_counted(tmp_path):
    found = rates(tmp_path, max_epochs=3, accumulate_grad_batches=2)
    assert found == [[0.5 * factor] for factor in EXPECTED]


def test_max_steps_bounds_the_run(tmp_path):
    expected = [[0.5 * multiplier(step, 15)] for step in range(15)]
    assert rates(tmp_path, max_epochs=3, max_steps=15) == expected


def test_max_steps_are_optimizer_steps_and_an_epochs_last_one_is_incomplete(tmp_path):
    """Epochs of 10 batches in steps of 3, 3, 3 and 1: 6 steps are 16 batches."""
    found = rates(tmp_path, max_epochs=3, max_steps=6, accumulate_grad_batches=3)
    assert found == [[0.5 * multiplier(step, 16)] for step in range(16)]


def test_an_unbounded_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--trainer.max_epochs"):
        rates(tmp_path, max_epochs=-1)


@pytest.mark.parametrize("bound", [{"max_epochs": 3}, {"max_epochs": 5, "max_steps": 30}])
def test_max_time_may_end_a_run_that_is_bounded_otherwise(tmp_path, bound):
    found = rates(tmp_path, max_time="00:01:00:00", **bound)
    assert found == [[0.5 * factor] for factor in EXPECTED]


@pytest.mark.parametrize("endless", [{"max_epochs": -1}, {"max_epochs": None}])
def test_max_time_alone_is_refused_unless_the_length_is_given(tmp_path, endless):
    with pytest.raises(
        ValueError, match=r"--trainer.max_time \(or a Timer\) alone leaves .* schedule's length"
    ):
        rates(tmp_path, max_time="00:01:00:00", **endless)
    decay = LRDecay(warmup=3, final=0.1, length="3ep")
    found = rates(tmp_path, callbacks=[decay, StopAfter(10)], max_time="00:01:00:00", **endless)
    assert found == [[0.5 * factor] for factor in EXPECTED[:10]]


@pytest.mark.parametrize("warmup", [6, "6ba", "0.6ep", "20%"])
def test_lengths_in_units_are_batches(tmp_path, warmup):
    """Epochs of 10 batches, a run of 30."""
    found = rates(tmp_path, callbacks=[LRDecay(warmup=warmup, final=0.1)], max_epochs=3)
    assert found == [[0.5 * multiplier(step, 30, warmup=6)] for step in range(30)]


def test_a_percentage_of_a_given_length_is_of_that(tmp_path):
    decay = LRDecay(warmup="20%", length="50%", final=0.1)
    found = rates(tmp_path, callbacks=[decay], max_epochs=2)
    assert found == [[0.5 * multiplier(step, 10, warmup=2)] for step in range(20)]


def test_milestones_and_periods_take_units(tmp_path):
    decay = LRDecay("multistep", milestones=["1ep", 15], gamma=0.5)
    assert rates(tmp_path, callbacks=[decay], max_epochs=2) == [
        [0.5 * (1 if t < 10 else 0.5 if t < 15 else 0.25)] for t in range(20)
    ]
    decay = LRDecay("step", every="0.5ep", gamma=0.5)
    found = rates(tmp_path, callbacks=[decay], max_epochs=2)
    assert found == [[0.5 * 0.5 ** (t // 5)] for t in range(20)]


class StopAfter(Callback):
    def __init__(self, batches):
        self.batches = batches

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.should_stop = batch_idx + 1 == self.batches


ENDLESS = {
    "constant": {},
    "exponential": {"gamma": 0.9},
    "step": {"every": 3},
    "multistep": {"milestones": [4]},
    "inverse_sqrt": {},
}


@pytest.mark.parametrize("schedule", ENDLESS)
def test_what_has_no_end_needs_no_end_of_the_run(tmp_path, schedule):
    callbacks = [LRDecay(schedule, warmup=3, **ENDLESS[schedule]), StopAfter(2)]
    assert rates(tmp_path, callbacks=callbacks, max_epochs=-1)[1] == [0.5 * 2 / 3]
    assert ENDLESS.keys() == {name for name in OPTIONS if "length" not in OPTIONS[name]}


def test_each_network_has_its_own_schedule(tmp_path):
    decays = [
        LRDecay("linear", optimizers=[0], warmup=3),
        LRDecay("cosine", optimizers=["Adam-1"], final=0.5),
    ]
    found = rates(tmp_path, manual=True, callbacks=decays, max_epochs=3)
    linear, cosine = Schedule("linear", 30, warmup=3), Schedule("cosine", 30, final=0.5)
    assert found == [[0.5 * linear(t), 0.1 * cosine(t)] for t in range(30)]


def test_an_optimizer_that_is_not_selected_keeps_its_rate(tmp_path):
    found = rates(tmp_path, manual=True, callbacks=[LRDecay(optimizers=[1])], max_epochs=1)
    assert {sgd for sgd, _ in found} == {0.5}


@pytest.mark.parametrize(
    ("callbacks", "line"),
    [
        ([LRDecay(optimizers=["SDG"])], "optimizers: there is no SDG, but SGD, Adam-1"),
        ([LRDecay(optimizers=[2])], "there is no 2, but SGD, Adam-1"),
        ([LRDecay(), LRDecay(optimizers=[1])], "two LRDecay set the rate of Adam-1"),
        ([HyperparameterSchedule("beta2")], "key beta2: SGD has no such setting, but lr, momentum"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(tmp_path, callbacks, line):
    with pytest.raises(ValueError, match=line):
        rates(tmp_path, manual=True, callbacks=callbacks, max_epochs=1)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"schedule": "cosine", "gamma": 0.5},
            "schedule cosine has no gamma; it has warmup",
        ),
        ({"schedule": "step"}, "schedule step needs every"),
        ({"schedule": "exponential"}, "schedule exponential needs gamma"),
        ({"schedule": "multistep"}, "schedule multistep needs milestones"),
    ],
)
def test_options_that_do_not_fit_the_schedule_are_refused(options, line):
    with pytest.raises(ValueError, match=line):
        LRDecay(**options)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"warmup": 31}, "LRDecay's warmup=31 is 31 batches, but there are 30: give a share"),
        ({"warmup": "4ep"}, "LRDecay's warmup=4ep is 40 batches, but there are 30"),
        ({"warmup": "110%"}, "LRDecay's warmup=110% is 33 batches, but there are 30"),
        ({"warmup": 11, "length": "1ep"}, "LRDecay's warmup=11 is 11 batches, but there are 10"),
        ({"warmup": 31, "schedule": "constant"}, "warmup=31 is 31 batches, but there are 30"),
        (
            {"schedule": "wsd", "warmup": 10, "decay": "80%"},
            "warmup=10 and decay=80% are 34 batches together, but there are 30",
        ),
    ],
)
def test_a_warmup_that_never_reaches_the_peak_is_refused(tmp_path, options, line):
    """Epochs of 10 batches, a run of 30."""
    with pytest.raises(ValueError, match=line):
        rates(tmp_path, callbacks=[LRDecay(**options)], max_epochs=3)


@pytest.mark.parametrize("options", [{"warmup": 30}, {"schedule": "wsd", "warmup": "2ep"}])
def test_a_warmup_that_fits_is_not(tmp_path, options):
    found = rates(tmp_path, callbacks=[LRDecay(**options)], max_epochs=3)
    assert max(found) == [0.5], "the peak"
    dry = {"callbacks": [LRDecay(warmup=31)], "fast_dev_run": 2}
    assert len(rates(tmp_path, **dry)) == 2, "which shows that it runs, and no more"


def test_a_scheduler_of_the_modules_own_is_refused(tmp_path):
    class Scheduled(Line):
        def configure_optimizers(self):
            optimizer = super().configure_optimizers()
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    trainer = Trainer(default_root_dir=tmp_path, logger=False, callbacks=[LRDecay()], max_epochs=1)
    with pytest.raises(ValueError, match="lr_scheduler of Scheduled would both set the rate"):
        trainer.fit(Scheduled())


def test_stock_schedulers_are_never_stepped_under_manual_optimization(tmp_path):
    """The negative control: what LRDecay is for."""

    class Scheduled(Line):
        def configure_optimizers(self):
            optimizers = super().configure_optimizers()
            return optimizers, [torch.optim.lr_scheduler.StepLR(o, 1) for o in optimizers]

    module = Scheduled(manual=True)
    Trainer(default_root_dir=tmp_path, logger=False, enable_checkpointing=False, max_epochs=2).fit(
        module
    )
    assert set(map(tuple, module.rates)) == {(0.5, 0.1)}


class Settings(Line):
    """Adam in two parameter groups, one of them with a tensor as its rate."""

    def training_step(self, batch, batch_idx):
        self.rates.append([(float(g["lr"]), g["betas"], g["weight_decay"]) for g in self.groups])
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        weight, bias = self.layer.parameters()
        groups = [{"params": [weight]}, {"params": [bias], "weight_decay": 0.4}]
        optimizer = torch.optim.Adam(groups, lr=torch.tensor(0.5), weight_decay=0.2)
        self.groups = optimizer.param_groups
        return optimizer


def test_any_setting_follows_the_same_schedules(tmp_path):
    module = Settings()
    Trainer(
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        max_epochs=2,
        callbacks=[
            LRDecay("linear"),
            HyperparameterSchedule("beta2", to=0.9, schedule="cosine"),
            HyperparameterSchedule("weight_decay", schedule="step", every=5, gamma=0.5),
        ],
    ).fit(module)
    linear, cosine = Schedule("linear", 20), Schedule("cosine", 20)
    for t, row in enumerate(module.rates):
        for (lr, betas, decay), own in zip(row, (0.2, 0.4), strict=True):
            assert lr == pytest.approx(0.5 * linear(t), rel=1e-6)
            assert betas == (0.9, 0.9 + (0.999 - 0.9) * cosine(t))
            assert decay == own * 0.5 ** (t // 5)


def test_one_cycle_momentum_is_torchs(tmp_path):
    module = Line()
    seen = []

    class Recording(HyperparameterSchedule):
        def on_train_batch_end(self, trainer, *args):
            super().on_train_batch_end(trainer, *args)
            seen.append(trainer.optimizers[0].param_groups[0]["momentum"])

    options = {"to": 0.95, "schedule": "one_cycle", "warmup": 6, "start": 0.0}
    module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), 0.1, momentum=0.85)
    Trainer(
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        max_epochs=2,
        callbacks=[Recording("momentum", **options)],
    ).fit(module)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, 20, pct_start=0.3)
    for value in seen[:-1]:
        assert value == pytest.approx(optimizer.param_groups[0]["momentum"], abs=1e-12)
        optimizer.step()
        scheduler.step()


def test_data_without_an_end_has_no_epochs_but_steps():
    class Endless:
        num_training_batches, max_epochs, max_steps = math.inf, 3, 50
        accumulate_grad_batches, callbacks = 2, ()

    assert batches("100%", Endless()) == 100
    with pytest.raises(ValueError, match="5ep: epochs of this data have no length"):
        batches("5ep", Endless())


def test_max_steps_that_count_several_steps_a_batch_are_refused(tmp_path):
    """Lightning counts each optimizer's: 16 of them are 8 batches here."""
    with pytest.raises(ValueError, match=r"--trainer.max_steps=16 counts several optimizer steps"):
        rates(tmp_path, manual=True, max_epochs=3, max_steps=16)
    linear = Schedule("linear", 8)
    decay = LRDecay("linear", length=8)
    found = rates(tmp_path, manual=True, callbacks=[decay], max_epochs=3, max_steps=16)
    assert [sgd for sgd, _ in found] == [0.5 * linear(t) for t in range(8)]


def test_a_rate_has_one_owner(tmp_path):
    with pytest.raises(ValueError, match="key=lr: LRDecay schedules learning rates"):
        HyperparameterSchedule("lr")


def test_a_period_shorter_than_a_batch_is_a_batch(tmp_path):
    decay = LRDecay("step", every="10%", gamma=0.5)
    assert rates(tmp_path, callbacks=[decay], max_epochs=1, limit_train_batches=2)[1] == [0.25]


def movement(tmp_path, callbacks):
    """How far the weight still moves in the last 2 of 10 epochs, where it is averaged."""
    seen = []

    class Noisy(Line):
        def training_step(self, batch, batch_idx):
            return (self.layer(batch) - torch.randn_like(batch)).square().mean()

        def on_train_batch_end(self, *args):
            seen.append(self.layer.weight.item())

    torch.manual_seed(0)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Trainer(default_root_dir=tmp_path, max_epochs=10, callbacks=callbacks, **quiet).fit(Noisy())
    return max(seen[80:]) - min(seen[80:])


def test_weight_averaging_with_rates_of_its_own_is_refused(tmp_path):
    """Lightning's sets a rate at which weights keep moving; a decay would hold them still."""
    swa = StochasticWeightAveraging(swa_lrs=0.5)
    for other in (LRDecay(), LossDrivenLR("loss")):
        name = type(other).__name__
        said = f"StochasticWeightAveraging and {name} would both set the rate, .* EMA averages"
        with pytest.raises(ValueError, match=said):
            rates(tmp_path, callbacks=[swa, other], max_epochs=10)
    assert rates(tmp_path, callbacks=[LRDecay(), EMA("layer")], max_epochs=1)


def test_beside_it_the_average_would_be_of_still_weights(tmp_path, monkeypatch):
    """The negative control: without the guards, LRDecay overrides the rate that SWA has set."""
    monkeypatch.setattr("callbacks.lr_decay.refuse_schedulers", lambda *args: None)
    monkeypatch.setattr(
        "callbacks.optimizers.Kept.set",
        lambda self, name, groups, values: set_setting(groups[0], "lr", values[0]),
    )
    averaged, decayed = (
        movement(tmp_path, [StochasticWeightAveraging(0.1, annealing_epochs=1), *others])
        for others in ([], [LRDecay()])
    )
    assert averaged > 3 * decayed


@pytest.mark.parametrize("where", ["callback", "module"])
def test_whatever_else_sets_the_rate_is_noticed(tmp_path, where):
    def halve(groups):
        groups[0]["lr"] /= 2

    class Halve(Callback):
        def on_train_epoch_end(self, trainer, module):
            halve(trainer.optimizers[0].param_groups)

    if where == "callback":
        with pytest.raises(ValueError, match=r"LRDecay set lr of SGD to 0.26.*, and something"):
            rates(tmp_path, callbacks=[LRDecay("linear"), Halve()], max_epochs=2)
        return

    class Own(Line):
        def on_train_batch_end(self, *args):
            halve(self.optimizers().param_groups)

    trainer = Trainer(
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        max_epochs=1,
        callbacks=[LRDecay()],
    )
    with pytest.raises(
        ValueError, match=r"LRDecay set lr of SGD to 0\.5, and something else to 0\.25"
    ):
        trainer.fit(Own())
