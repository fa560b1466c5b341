"""FiniteLoss: nothing that is not finite is saved."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from callbacks import Export, FiniteLoss


class Diverging(LightningModule):
    """From batch 3 of 8 on, its loss or its gradient is not finite."""

    def __init__(self, what):
        super().__init__()
        self.layer, self.what = torch.nn.Linear(1, 1), what

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch).square().mean()
        if batch_idx < 3 or self.what == "nothing":
            return loss
        if self.what == "loss":
            return loss * torch.inf
        return loss + (0 * self.layer.bias).abs().sqrt().sum()  # 0, with a slope of 0 * inf

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(8, 1))


def fit(tmp_path, what, *callbacks, weights_only=False, **flags):
    options = {"every_n_train_steps": 1, "save_top_k": -1, "save_weights_only": weights_only}
    flags = {"max_epochs": 2, "log_every_n_steps": 1000, **flags}
    Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(tmp_path, **options), *callbacks],
        **flags,
    ).fit(Diverging(what))


def finite(path):
    saved = torch.load(path, weights_only=True)["state_dict"]
    return all(value.isfinite().all() for value in saved.values())


WHERE = r"diverged at step 3 \(epoch 0, batch 3\)"
MESSAGES = {
    ("loss", 1): f"{WHERE}: the loss is inf: try a lower lr",
    ("loss", 1000): f"{WHERE}: the loss is inf: try a lower lr",
    ("gradient", 1): f"{WHERE}: the gradient of layer.bias is not finite: try a lower lr",
    ("gradient", 1000): r"diverged by step 4: layer.\w+ is not finite, and not saved",
}


@pytest.mark.parametrize(("what", "every"), MESSAGES)
def test_training_ends_before_anything_spoiled_is_saved(tmp_path, what, every):
    with pytest.raises(FloatingPointError, match=MESSAGES[what, every]):
        fit(tmp_path, what, FiniteLoss(), log_every_n_steps=every)
    saved = list(tmp_path.glob("*.ckpt"))
    assert len(saved) == 3 and all(finite(path) for path in saved)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_files_of_the_weights_alone_are_refused_too(tmp_path, what):
    """Lightning tells callbacks nothing of them."""
    with pytest.raises(FloatingPointError):
        fit(tmp_path, what, FiniteLoss(), weights_only=True)
    assert list(tmp_path.glob("*.ckpt")) and all(map(finite, tmp_path.glob("*.ckpt")))


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("exports", [True, False])
def test_a_run_that_ends_within_an_epoch_is_looked_at(tmp_path, what, exports):
    """Nothing is logged there, nor saved. Export refuses by itself too."""
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1000,
        max_steps=5,
        callbacks=[Export("layer") if exports else FiniteLoss()],
    )
    said = r"layer.weight is not finite, and not exported" if exports else "diverged"
    with pytest.raises(FloatingPointError, match=said):
        trainer.fit(Diverging(what))
    assert not (tmp_path / "layer.pt").exists()


def test_without_it_weights_that_are_not_finite_are_saved(tmp_path):
    """The negative control."""
    fit(tmp_path, "loss")
    assert [finite(path) for path in tmp_path.glob("*.ckpt")].count(False) == 13


def test_a_healthy_training_is_left_alone(tmp_path):
    fit(tmp_path, "nothing", FiniteLoss(), log_every_n_steps=1)
    assert len(list(tmp_path.glob("*.ckpt"))) == 16


def test_large_gradients_are_finite(tmp_path):
    class Large(Diverging):
        def training_step(self, batch, batch_idx):
            return self.layer(batch).sum() * 1e30

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-30)

    Trainer(
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
        max_epochs=1,
        callbacks=[FiniteLoss()],
    ).fit(Large("nothing"))


class Spoiling(Diverging):
    """Its weights stay finite; from batch 3 on, batch-norm's running variance is not."""

    def __init__(self):
        super().__init__("nothing")
        self.norm = torch.nn.BatchNorm1d(1)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))  # which is no divergence

    def training_step(self, batch, batch_idx):
        self.norm(batch * (1e20 * torch.arange(len(batch))[:, None] if batch_idx == 3 else 1))
        return super().training_step(batch, batch_idx)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(16, 1), batch_size=2)

    def test_dataloader(self):
        return self.train_dataloader()

    def test_step(self, batch, batch_idx):
        self.log("test/loss", self.layer(batch).square().mean())


def trainer(tmp_path, *callbacks, **flags):
    return Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **{"max_epochs": 1, "log_every_n_steps": 1, **flags},
    )


def every_step(tmp_path):
    return ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1)


def finite_variance(path):
    return torch.load(path, weights_only=True)["state_dict"]["norm.running_var"].isfinite().all()


def test_an_infinite_running_variance_is_not_saved(tmp_path):
    stopped = trainer(tmp_path, FiniteLoss(), every_step(tmp_path))
    with pytest.raises(FloatingPointError, match=r"by step 4: norm.running_var is not finite"):
        stopped.fit(Spoiling())
    saved = list(tmp_path.glob("*.ckpt"))
    assert len(saved) == 3 and all(map(finite_variance, saved))


@pytest.mark.parametrize("use", ["test", "fit"])
def test_a_checkpoint_with_an_infinite_running_variance_is_refused(tmp_path, use):
    """The negative control: without the callback it is saved, and used like any other."""
    trainer(tmp_path, every_step(tmp_path)).fit(Spoiling())
    saved = tmp_path / "epoch=0-step=8.ckpt"
    assert not finite_variance(saved)
    getattr(trainer(tmp_path, max_epochs=2), use)(Spoiling(), ckpt_path=saved)
    with pytest.raises(FloatingPointError, match=r"step=8\.ckpt: norm.running_var is not finite"):
        getattr(trainer(tmp_path, FiniteLoss(), max_epochs=2), use)(Spoiling(), ckpt_path=saved)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1e30, r"the batch holds 1e\+30"),
        (torch.inf, "the batch holds inf"),
        (torch.nan, "the inputs of the batch hold NaN"),
        (1e9, "try a lower lr"),
    ],
)
@pytest.mark.parametrize("every", [1, 1000])
def test_the_cause_is_named(tmp_path, value, said, every):
    """In batch 2, also where it is looked at in the epoch's last batch only."""

    class Data(Diverging):
        def training_step(self, batch, batch_idx):
            loss = self.layer(batch[0]).square().mean()
            return loss * torch.inf if batch_idx == 2 else loss  # as of a network that overflows

        def train_dataloader(self):
            inputs, targets = torch.ones(8, 1), torch.full((8, 1), torch.nan)  # all are missing
            inputs[2] = value
            return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, targets))

    with pytest.raises(FloatingPointError, match=rf"step 2 .*: the loss is \w+: {said}"):
        trainer(tmp_path, FiniteLoss(), log_every_n_steps=every).fit(Data("nothing"))
