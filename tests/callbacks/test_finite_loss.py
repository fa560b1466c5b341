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


MESSAGES = {
    ("loss", 1): "the loss is inf in epoch 0, batch 3",
    ("loss", 1000): "the loss is inf in epoch 0, batch 3",
    ("gradient", 1): "the gradient of layer.bias is not finite in epoch 0, batch 3",
    ("gradient", 1000): r"layer.\w+ is not finite, and not saved",
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
@pytest.mark.parametrize("observed", [True, False])
def test_a_run_that_ends_within_an_epoch_is_looked_at(tmp_path, what, observed):
    """Nothing is logged there, nor saved. Without the callback, NaN is exported."""
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1000,
        max_steps=5,
        callbacks=[Export("layer"), *([FiniteLoss()] if observed else [])],
    )
    exported = tmp_path / "layer.pt"
    if observed:
        with pytest.raises(FloatingPointError):
            trainer.fit(Diverging(what))
        assert not exported.exists()
    else:
        trainer.fit(Diverging(what))
        saved = torch.load(exported, weights_only=True)
        assert not all(value.isfinite().all() for value in saved.values())


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
