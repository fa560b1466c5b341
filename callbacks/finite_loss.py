"""A diverged training stops, and says so."""

import math
from typing import NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

from callbacks.optimizers import parameters
from recipes.parts.finite import finite_buffers, first_not_finite, spoiled
from recipes.parts.logs import is_logging_step

MOST = torch.finfo(torch.float32).max ** 0.5  # the square of a larger number overflows


class Moment(NamedTuple):
    """When in training something was, and the `extremes` of its batch."""

    step: int
    epoch: int
    batch: int
    extremes: list[Tensor]

    def __str__(self) -> str:
        return f"diverged at step {self.step} (epoch {self.epoch}, batch {self.batch})"

    @property
    def advice(self) -> str:
        """What may be the cause: numbers whose squares overflow, or the learning rate."""
        sizes = [abs(end.item()) for end in self.extremes]
        if any(map(math.isnan, sizes)):
            return "the inputs of the batch hold NaN"
        largest = max(sizes, default=0.0)
        return f"the batch holds {largest:.3g}" if largest > MOST else "try a lower lr"


class FiniteLoss(Callback):
    """Ends training with an error when a loss or a gradient is not finite, before that is saved.

    Every batch's loss is looked at: on a CPU at once. On a GPU, where looking waits for the device,
    this happens for all batches since the last time in the steps that are logged, in each epoch's
    last, before every checkpoint, and when training ends. In the first two the gradients are looked
    at too, before they are applied; in the last two all weights, which a gradient that was not
    finite has spoiled, and all buffers that were finite once, such as batch-norm's running
    variance. A checkpoint with others is neither trained further nor evaluated.
    In fp16, gradients that overflow are a matter of the loss scale, and left alone.

    ```yaml
    - class_path: FiniteLoss
    ```

    Raises:
        FloatingPointError: naming the step, and the parameter or buffer
    """

    def __init__(self) -> None:
        self.losses: list[tuple[Moment, Tensor]] = []  # not yet looked at
        self.batch: tuple[int, object] = (0, None)  # the present one, and its number
        self.looks = False  # whether to wait for the device in this batch
        self.were_finite: set[str] = set()  # buffers

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.were_finite = finite_buffers(pl_module)  # before a checkpoint is loaded

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.losses = []
        self._refuse_loaded(trainer, pl_module)
        self.were_finite |= finite_buffers(pl_module)  # made in configure_model
        # Of every checkpoint; of one that holds the weights alone, callbacks are not told.
        self.handle = pl_module.register_state_dict_pre_hook(self._refuse)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            self._refuse_loaded(trainer, pl_module)

    on_test_start = on_predict_start = on_validation_start

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._refuse(pl_module)  # a run may end within an epoch, with nothing logged or saved

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.handle.remove()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        last = batch_idx + 1 == trainer.num_training_batches
        self.looks = last or is_logging_step(trainer)
        self.batch = batch_idx, batch

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        loss = loss.detach()
        if loss.device.type != "cpu":
            self.losses.append((self._now(trainer), loss))
        elif not math.isfinite(loss.sum().item()):
            self.losses.append((self._now(trainer), loss))
            self._look()

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
        if name := first_not_finite(gradients):
            said = f"the gradient of {name} is not finite"
            now = self._now(trainer)
            raise FloatingPointError(f"{now}: {said}: {now.advice}")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        if self.looks:
            self._look()
        self.batch = 0, None

    def _now(self, trainer: Trainer) -> Moment:
        number, batch = self.batch
        return Moment(trainer.global_step, trainer.current_epoch, number, extremes(batch))

    def _refuse(self, pl_module: LightningModule, *args: object) -> None:
        self._look()
        if name := spoiled(pl_module, self.were_finite):
            step = pl_module.trainer.global_step
            raise FloatingPointError(
                f"diverged by step {step}: {name} is not finite, and not saved: try a lower lr"
            )

    def _refuse_loaded(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if name := spoiled(pl_module, self.were_finite):
            raise FloatingPointError(
                f"{trainer.ckpt_path or 'the network'}: {name} is not finite: its training diverged"
            )

    def _look(self) -> None:
        losses, self.losses = self.losses, []
        values = [loss.sum() for _, loss in losses]
        if not losses or torch.stack(values).isfinite().all():
            return
        for (when, _), value in zip(losses, values, strict=True):
            if not value.isfinite():
                raise FloatingPointError(f"{when}: the loss is {value.item()}: {when.advice}")


def extremes(batch: object) -> list[Tensor]:
    """The smallest and largest number of each tensor in a batch; NaN if the inputs hold NaN.

    In what follows the inputs, NaN marks a target that is missing.
    """
    tensors = [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]
    return [
        end
        for number, tensor in enumerate(tensors)
        if tensor.is_floating_point() and tensor.layout == torch.strided and tensor.numel()
        for end in (tensor.nan_to_num(0.0, torch.inf, -torch.inf) if number else tensor).aminmax()
    ]
