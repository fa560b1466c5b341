"""A diverged training stops, and says so."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from callbacks.optimizers import parameters
from recipes.logs import is_logging_step


class FiniteLoss(Callback):
    """Ends training with an error when a loss or a gradient is not finite, before that is saved.

    Every batch's loss is looked at. Since looking waits for the device, this happens for all
    batches since the last time in the steps that are logged, in each epoch's last, and before every
    checkpoint. In the first two the gradients are looked at too, before they are applied; before a
    checkpoint all weights, which a gradient that was not finite has spoiled. In fp16, gradients
    that overflow are a matter of the loss scale, and left alone.

    ```yaml
    - class_path: FiniteLoss
    ```

    Raises:
        FloatingPointError: naming the batch, or the parameter
    """

    def __init__(self) -> None:
        self.losses: list[tuple[str, Tensor]] = []  # not yet looked at, and where they were

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.losses = []
        # Of every checkpoint; of one that holds the weights alone, callbacks are not told.
        self.handle = pl_module.register_state_dict_pre_hook(self._refuse)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.handle.remove()

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        self.losses.append((place(trainer), loss.detach().sum()))

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if not looks(trainer):
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
            raise FloatingPointError(
                f"the gradient of {name} is not finite in {place(trainer)}: try a lower lr"
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        if looks(trainer):
            self._look()

    def _refuse(self, pl_module: LightningModule, *args: object) -> None:
        self._look()
        weights = dict(pl_module.named_parameters())
        if not finite(list(weights.values())):
            name = next(name for name, weight in weights.items() if not finite([weight]))
            raise FloatingPointError(f"{name} is not finite, and not saved: try a lower lr")

    def _look(self) -> None:
        losses, self.losses = self.losses, []
        if not losses or torch.stack([loss for _, loss in losses]).isfinite().all():
            return
        where, loss = next((where, loss) for where, loss in losses if not loss.isfinite())
        raise FloatingPointError(f"the loss is {loss.item()} in {where}: try a lower lr")


def place(trainer: Trainer) -> str:
    """Where in training this is."""
    return f"epoch {trainer.current_epoch}, batch {trainer.fit_loop.batch_idx}"


def looks(trainer: Trainer) -> bool:
    """Whether to wait for the device in this batch."""
    last = trainer.fit_loop.batch_idx + 1 == trainer.num_training_batches
    return last or is_logging_step(trainer)


def finite(tensors: list[Tensor]) -> bool:
    """Whether all elements are: by the largest size, since a sum could overflow."""
    tensors = [t.coalesce().values() if t.is_sparse else t for t in tensors]
    if not tensors:
        return True
    largest = get_total_norm([tensor.detach() for tensor in tensors], torch.inf)
    return bool((largest.full_tensor() if isinstance(largest, DTensor) else largest).isfinite())
