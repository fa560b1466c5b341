"""Datamodules with the Trainer of Lightning's old package."""

import pytest
from lightning.pytorch import LightningDataModule

from datamodules import Diabetes, Digits

pytorch_lightning = pytest.importorskip("pytorch_lightning", reason="needs the old package")


class Stock(LightningDataModule):
    """Lightning's own, with nothing added."""


class Module(pytorch_lightning.LightningModule):
    def training_step(self, batch, batch_idx):
        return None

    def configure_optimizers(self):
        return None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Digits, "^Digits is no datamodule of pytorch_lightning: import lightning.pytorch as pl$"),
        (Diabetes, "^Diabetes is no datamodule of pytorch_lightning: import lightning.pytorch as"),
        (Stock, "^Expected a parent$"),  # the negative control
    ],
)
def test_the_trainer_of_the_old_package_is_told_what_to_import(data, said):
    trainer = pytorch_lightning.Trainer(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        accelerator="cpu",
    )
    with pytest.raises(ValueError, match=said):
        trainer.fit(Module(), datamodule=data())
