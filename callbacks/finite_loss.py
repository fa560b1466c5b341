"""A diverged training stops, and says so."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from callbacks.optimizers import parameters
from recipes.parts.logs import is_logging_step


class FiniteLoss(Callback):
    """Ends training with an error when a loss or a gradient is not finite, before that is saved.

    Every batch's loss is looked at. Since looking waits for the device, this happens for all
    batches since the last time in the steps that are logged, in each epoch's last, before every
    checkpoint, and when training ends. In the first two the gradients are looked at too, before
    they are applied; in the last two all weights, which a gradient that was not finite has spoiled.
    In fp16, gradients that overflow are a matter of the loss scale, and left alone.

    ```yaml
    - class_path: FiniteLoss
    ```

    Raises:
        FloatingPointError: naming the batch, or the parameter
    """

    def __init__(self) -> None:
        self.losses: list[tuple[int, int, Tensor]] = []  # not yet looked at: epoch, batch, loss
        self.looks = False  # whether to wait for the device in this batch

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.losses = []
        # Of every checkpoint; of one that holds the weights alone, callbacks are not told.
        self.handle = pl_module.register_state_dict_pre_hook(self._refuse)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._refuse(pl_module)  # a run may end within an epoch, with nothing logged or saved

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.handle.remove()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        last = trainer.fit_loop.batch_idx + 1 == trainer.num_training_batches
        self.looks = last or is_logging_step(trainer)

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        self.losses.append((trainer.current_epoch, trainer.fit_loop.batch_idx, loss.detach()))

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if not self.looks:
            return
        self._look()
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return
        own = set(parameters(optimizer))
        gradients = {
            name: p.grad
            for name, p in pl_module.named_parameters()
            if p in own and p.grad is not None
        }
        if not finite(list(gradients.values())):
            name = next(name for name, gradient in gradients.items() if not finite([gradient]))
            where = place(trainer.current_epoch, trainer.fit_loop.batch_idx)
            raise FloatingPointError(
                f"the gradient of {name} is not finite in {where}: try a lower lr"
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        if self.looks:
            self._look()

    def _refuse(self, pl_module: LightningModule, *args: object) -> None:
        self._look()
        weights = dict(pl_module.named_parameters())
        if not finite(list(weights.values())):
            name = next(name for name, weight in weights.items() if not finite([weight]))
            raise FloatingPointError(f"{name} is not finite, and not saved: try a lower lr")

    def _look(self) -> None:
        losses, self.losses = self.losses, []
        values = [loss.sum() for *_, loss in losses]
        if not losses or torch.stack(values).isfinite().all():
            return
        for (epoch, batch, _), value in zip(losses, values, strict=True):
            if not value.isfinite():
                where = place(epoch, batch)
                raise FloatingPointError(f"the loss is {value.item()} in {where}: try a lower lr")


def place(epoch: int, batch: int) -> str:
    """Where in training this is."""
    return f"epoch {epoch}, batch {batch}"


def finite(tensors: list[Tensor]) -> bool:
    """Whether all elements are."""
    tensors = [t.coalesce().values() if t.is_sparse else t for t in tensors]
    if not tensors:
        return True
    # The sum of squares is 30 times as fast on a CPU; where it overflows, the largest size decides.
    for order in (2.0, torch.inf):
        norm = get_total_norm([tensor.detach() for tensor in tensors], order)
        if (norm.full_tensor() if isinstance(norm, DTensor) else norm).isfinite():
            return True
    return False
