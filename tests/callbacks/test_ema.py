"""EMA against its definition, and that it takes the weights' place and gives it back."""

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging

from callbacks import EMA, Export
from recipes.classify import Classify
from recipes.parts.networks import ConvNet
from trains import digits, fit


class Recording(Callback):
    """The network's state after every batch, and in every validation."""

    def __init__(self, module="network"):
        self.module, self.trained, self.validated = module, [], []

    def state(self, pl_module):
        network = pl_module.get_submodule(self.module)
        return {name: value.clone() for name, value in network.state_dict().items()}

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.trained.append(self.state(pl_module))

    def on_validation_epoch_end(self, trainer, pl_module):
        self.validated.append((len(self.trained), self.state(pl_module)))

    def on_test_epoch_end(self, trainer, pl_module):
        self.tested = self.state(pl_module)

    def on_predict_epoch_end(self, trainer, pl_module):
        self.predicted = self.state(pl_module)


def classify():
    torch.manual_seed(0)
    return Classify(ConvNet([4]))


def mean(states, half_life):
    """The definition: weights that halve with age, in double precision."""
    weights = [0.5 ** ((len(states) - i) / half_life) for i in range(1, len(states) + 1)]
    total = sum(weights)
    return {
        name: sum(w * state[name].double() for w, state in zip(weights, states, strict=True))
        / total
        for name in states[0]
    }


def floats(state):
    return {name: value for name, value in state.items() if value.is_floating_point()}


@pytest.mark.parametrize("half_life", [5, "5ba", "0.3125ep", "320im", "15.625%"])
def test_validation_sees_the_average_of_the_definition(tmp_path, half_life):
    """16 batches of 64 an epoch, 32 in the run; a validation in the middle of each epoch."""
    recording = Recording()
    callbacks = [EMA("network", half_life), recording]
    fit(classify(), digits(), tmp_path, callbacks, max_epochs=2, val_check_interval=0.5)
    assert [n for n, _ in recording.validated] == [0, 8, 16, 24, 32]
    for count, seen in recording.validated[1:]:
        expected = mean([floats(state) for state in recording.trained[:count]], 5)
        for name, value in expected.items():
            torch.testing.assert_close(seen[name].double(), value, rtol=1e-5, atol=1e-6)
        latest = recording.trained[count - 1]["features.1.num_batches_tracked"]
        assert torch.equal(seen["features.1.num_batches_tracked"], latest)
    assert not torch.equal(seen["head.weight"], recording.trained[-1]["head.weight"])


def test_copied_buffers_are_the_latest(tmp_path):
    recording = Recording()
    fit(classify(), digits(), tmp_path, [EMA("network", 5, buffers="copy"), recording])
    seen, latest = recording.validated[-1][1], recording.trained[-1]
    assert torch.equal(seen["features.1.running_var"], latest["features.1.running_var"])
    assert not torch.equal(seen["head.weight"], latest["head.weight"])


def test_training_is_what_it_is_without(tmp_path):
    """Bit by bit, with validations in the middle of an epoch, and so are the saved weights."""
    states = []
    for callbacks in ([], [EMA("network", 5)]):
        recording = Recording()
        callbacks = [*callbacks, recording]
        _, trainer = fit(classify(), digits(), tmp_path, callbacks, val_check_interval=3)
        states.append(recording.trained)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
        assert torch.equal(saved["network.head.weight"], recording.trained[-1]["head.weight"])
    for one, two in zip(*states, strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_tests_predictions_and_exports_are_of_the_average(tmp_path):
    ema, recording = EMA("network", 5), Recording()
    module, trainer = fit(
        classify(), digits(), tmp_path, [Export("network"), ema, recording], max_epochs=2
    )
    latest = recording.trained[-1]
    trainer.test(module, datamodule=digits(), verbose=False)
    trainer.predict(module, datamodule=digits())
    exported = torch.load(tmp_path / "network.pt", weights_only=True)
    for seen in (recording.tested, recording.predicted, exported):
        for name in ema.average:
            assert torch.equal(seen[name], ema.average[name]), name
    assert all(torch.equal(latest[name], value) for name, value in recording.state(module).items())


def test_a_checkpoints_average_is_tested_in_another_process(tmp_path):
    ema, recording = EMA("network", 5), Recording()
    _, trainer = fit(classify(), digits(), tmp_path, [ema, recording])
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again, fresh = Recording(), EMA("network", 5)
    other = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, callbacks=[fresh, again]
    )
    other.test(classify(), digits(), ckpt_path=tmp_path / "last.ckpt", verbose=False)
    assert all(torch.equal(again.tested[name], value) for name, value in ema.average.items())


def test_weights_come_back_when_a_validation_fails(tmp_path):
    class Failing(Classify):
        def validation_step(self, batch, batch_idx):
            if not self.trainer.sanity_checking:
                raise MemoryError

    torch.manual_seed(0)
    module, recording = Failing(ConvNet([4])), Recording()
    with pytest.raises(MemoryError):
        fit(module, digits(), tmp_path, [EMA("network", 5), recording])
    latest = recording.trained[-1]
    assert all(torch.equal(latest[name], value) for name, value in recording.state(module).items())


def test_an_average_of_bfloat16_weights_is_finer_than_they_are(tmp_path):
    ema, recording = EMA("network", 100), Recording()
    fit(classify(), digits(), tmp_path, [ema, recording], precision="bf16-true", max_epochs=4)
    states = [floats(state) for state in recording.trained]
    assert states[0]["head.weight"].dtype == torch.bfloat16
    expected = mean(states, 100)["head.weight"]
    torch.testing.assert_close(ema.average["head.weight"].double(), expected, rtol=1e-4, atol=1e-5)


class TwoOptimizers(LightningModule):
    """What Lightning's own EMA does not average: an update every second global step is never."""

    automatic_optimization = False

    def __init__(self):
        super().__init__()
        self.generator, self.discriminator = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)

    def training_step(self, batch, batch_idx):
        for optimizer, network in zip(self.optimizers(), self.children(), strict=True):
            optimizer.zero_grad()
            self.manual_backward(network(batch).square().mean())
            optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.SGD(network.parameters(), 0.1) for network in self.children()]

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(10, 2))


def test_with_two_optimizers_one_batch_is_one_step(tmp_path):
    ema, recording = EMA("generator", 3), Recording("generator")
    fit(TwoOptimizers(), None, tmp_path, [ema, recording])
    expected = mean(recording.trained, 3)
    for name, value in expected.items():
        torch.testing.assert_close(ema.average[name].double(), value)


def test_lightnings_own_average_misses_every_update_there(tmp_path):
    """The negative control."""
    updates = []

    class Counting(EMAWeightAveraging):
        def should_update(self, step_idx=None, epoch_idx=None):
            updates.append(super().should_update(step_idx, epoch_idx))
            return updates[-1]

    fit(TwoOptimizers(), None, tmp_path, [Counting(update_every_n_steps=2)])
    assert not any(updates)


def test_a_module_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="EMA's module=student: there is no such module"):
        fit(classify(), digits(), tmp_path, [EMA("student")])


def test_averages_that_share_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"EMA's module=network and network.features share"):
        fit(classify(), digits(), tmp_path, [EMA("network"), EMA("network.features")])


@pytest.mark.parametrize("other", [EMAWeightAveraging(), StochasticWeightAveraging(0.1)])
def test_another_average_of_the_same_weights_is_refused(other, tmp_path):
    with pytest.raises(ValueError, match=f"EMA and {type(other).__name__} would both"):
        fit(classify(), digits(), tmp_path, [EMA("network"), other])


def test_constant_buffers_stay_what_they_are(tmp_path):
    module = classify()
    mask = torch.triu(torch.full((3, 3), -torch.inf), 1)
    module.network.register_buffer("mask", mask)
    ema = EMA("network", 5)
    fit(module, digits(), tmp_path, [ema])
    assert torch.equal(ema.average["mask"], mask)
