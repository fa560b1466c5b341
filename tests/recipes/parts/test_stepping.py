"""Steps of several batches follow their mean gradient, also where an epoch ends before."""

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from datamodules import Diabetes
from recipes.parts.networks import LinearModel
from recipes.parts.stepping import IncompleteAccumulation

INPUTS = torch.arange(20.0).unsqueeze(1)
TARGETS = 3 * INPUTS + 1


class Line(LightningModule):
    """y = a x + b from zero, by gradient descent."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(1, 1)
        nn.init.zeros_(self.line.weight)
        nn.init.zeros_(self.line.bias)

    def training_step(self, batch, batch_idx):
        return F.mse_loss(self.line(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.001)


class Stream(IterableDataset):
    def __iter__(self):
        yield from zip(INPUTS, TARGETS, strict=True)


class Norms(Callback):
    def __init__(self):
        self.seen = []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.seen.append(module.line.weight.grad.item())


def trained(callbacks, batch_size=10, data=None, **settings):
    module = Line()
    flags = {"max_epochs": 1, "accelerator": "cpu", "logger": False, "barebones": False}
    flags |= {"enable_checkpointing": False, "enable_progress_bar": False}
    flags |= {"enable_model_summary": False, "accumulate_grad_batches": 3}
    trainer = Trainer(callbacks=callbacks, **(flags | settings))
    data = data or TensorDataset(INPUTS, TARGETS)
    trainer.fit(module, DataLoader(data, batch_size=batch_size))
    return module.line.weight.item(), module.line.bias.item()


def test_the_last_step_of_an_epoch_follows_the_mean_gradient():
    """pytorch-lightning #19987: two batches of 10 and not of three; stock divides by three."""
    assert trained([]) == pytest.approx((0.50667, 0.03933), abs=1e-5), "the fault in Lightning"
    assert trained([IncompleteAccumulation()]) == pytest.approx((0.76, 0.059), abs=1e-6)


def test_so_it_is_with_data_of_unknown_length():
    found = trained([IncompleteAccumulation()], data=Stream())
    assert found == pytest.approx((0.76, 0.059), abs=1e-6)


def test_a_complete_step_is_as_it_was():
    own = trained([IncompleteAccumulation()], accumulate_grad_batches=2)
    assert own == trained([], accumulate_grad_batches=2) == pytest.approx((0.76, 0.059))


def test_a_limit_of_the_norm_is_one_of_the_mean_gradient():
    """The gradient of 760 is clipped to 100, where a third less would be too, and one to 600."""
    norms = Norms()
    weight, bias = trained([IncompleteAccumulation(), norms], gradient_clip_val=600.0)
    assert norms.seen == [pytest.approx(-760, rel=1e-5)], "later callbacks see the mean"
    assert (weight**2 + bias**2) ** 0.5 == pytest.approx(0.6, rel=1e-4)


def test_a_schedule_of_accumulation_is_followed():
    schedule = GradientAccumulationScheduler({0: 3})
    found = trained([IncompleteAccumulation(), schedule], accumulate_grad_batches=1)
    assert found == pytest.approx((0.76, 0.059), abs=1e-6)


def test_the_command_line_does_so(recipe):
    """Eight batches in steps of three: as three steps written out, the last one of two batches."""
    flags = ("--model.network=LinearModel", "--model.network.inputs=10", "--model.loss=mse")
    flags += ("--model.network.outputs=1", "--model.optimizer=SGD", "--model.optimizer.lr=0.05")
    flags += ("--model.optimizer.weight_decay=0", "--data.batch_size=32")
    flags += ("--trainer.max_epochs=1", "--trainer.callbacks=[]", "--data.reshuffle=false")
    recipe("regress", "fit", "--name=a", *flags, "--trainer.accumulate_grad_batches=3")
    weights = torch.load("runs/regress/a/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    data = Diabetes(batch_size=32, reshuffle=False)
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert len(batches) % 3, "else there is nothing to see"
    expected = LinearModel(10)  # from zero
    for start in range(0, len(batches), 3):
        some = batches[start : start + 3]
        loss = sum(F.mse_loss(expected(x.float()).squeeze(1), y.float()) for x, y in some)
        gradients = torch.autograd.grad(loss / len(some), list(expected.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(expected.parameters(), gradients, strict=True):
                parameter -= 0.05 * gradient
    found = {name.removeprefix("network."): value for name, value in weights.items()}
    torch.testing.assert_close(found, expected.state_dict())
