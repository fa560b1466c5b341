"""A diverged training stops, and says so."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from recipes.logs import is_logging_step


class FiniteLoss(Callback):
    """Ends training with an error when the loss is not finite, before that is saved.

    Looks at the steps that are logged and at each epoch's last, which an epoch's checkpoint
    follows: looking waits for the device, and a loss that is not a number stays so.

    Raises:
        FloatingPointError: naming the batch
    """

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401 - a tensor, a dict with a loss, or nothing
        batch: object,
        batch_idx: int,
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        looks = is_logging_step(trainer) or batch_idx + 1 == trainer.num_training_batches
        if looks and isinstance(loss, torch.Tensor) and not loss.isfinite().all():
            where = f"epoch {trainer.current_epoch}, batch {batch_idx}"
            raise FloatingPointError(f"the loss is {loss.item()} in {where}: try a lower lr")
