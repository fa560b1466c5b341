"""Manual optimization that counts and accumulates as automatic optimization does.

Under manual optimization Lightning counts every `optimizer.step()`, so that with two optimizers
`--trainer.max_steps=20` trains 10 batches, and refuses `--trainer.accumulate_grad_batches`.
"""

import torch
from jsonargparse.typing import PositiveInt
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim import Optimizer


def count_steps_of(counted: LightningOptimizer, module: LightningModule) -> None:
    """Has only one optimizer tick the trainer's step counter, once per training batch.

    To be called in every `training_step`: the loop installs the hooks anew before each.

    Args:
        counted: the optimizer that steps once, and last, in a training step
        module: whose step it is
    """
    profiler = module.trainer.profiler
    for optimizer in module.optimizers():
        if optimizer is not counted:
            optimizer._on_before_step = lambda: profiler.start("optimizer_step")
            optimizer._on_after_step = lambda: profiler.stop("optimizer_step")


def backward(module: LightningModule, loss: Tensor, batches: int | None = None) -> None:
    """Differentiates a batch's loss as automatic optimization does: its share, without autocast.

    A `manual_backward` within `training_step` is within its autocast, which would round what is
    differentiated twice although it was computed in float32.

    Args:
        module: whose step it is
        loss: of one batch; of several that are accumulated it is divided by their number
        batches: their number, less than usual in an epoch's last step; by default
            `--trainer.accumulate_grad_batches`
    """
    with torch.autocast(module.device.type, enabled=False):
        module.manual_backward(loss / (batches or module.trainer.accumulate_grad_batches))


class IncompleteAccumulation(Callback):
    """Makes an epoch's last step, of fewer batches than the others, follow their mean gradient too.

    Lightning divides each batch's loss by `--trainer.accumulate_grad_batches`, however many batches
    are left: of 20 batches in threes, the last two would count two thirds (pytorch-lightning
    #19987). The command line puts this before other callbacks, which see and clip the mean. Under
    manual optimization the module divides: see `backward`.
    """

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        wanted = trainer.accumulate_grad_batches
        left = trainer.fit_loop.epoch_loop.batch_progress.current.ready % wanted
        if not left or not pl_module.automatic_optimization:
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(wanted / left)


class Accumulation(Callback):
    """Tells a module of `--trainer.accumulate_grad_batches` that accumulates by hand.

    Such a module has `accumulates = True`, makes its step in the last of the batches, and calls
    `backward` for the loss of each, with their number. The command line puts this in place, before
    other callbacks.

    Args:
        batches: that make one step
    """

    def __init__(self, batches: PositiveInt) -> None:
        self.batches = batches

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.accumulate_grad_batches = self.batches  # Lightning has looked at it before this
        self.log_every = trainer.log_every_n_steps

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        # Under automatic optimization, Lightning logs only the last of a step's batches.
        waits = trainer.fit_loop._should_accumulate()
        trainer.log_every_n_steps = 0 if waits else self.log_every

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.accumulate_grad_batches, trainer.log_every_n_steps = 1, self.log_every
