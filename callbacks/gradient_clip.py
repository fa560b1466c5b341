"""Gradient clipping that means the same under automatic and manual optimization."""

from typing import Literal

from jsonargparse.typing import PositiveFloat
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer

from callbacks.optimizers import parameters


class GradientClip(Callback):
    """Clips the gradients of every optimizer before each of its steps.

        norm:   g <- g * min(1, limit / |g|)   (Pascanu et al. 2013, algorithm 1)
        value:  g <- max(-limit, min(limit, g))

    with |g| the L2 norm of all of the optimizer's gradients together, in the gradient's unit.
    Lightning refuses `--trainer.gradient_clip_val` under manual optimization; the recipes' command
    line puts this in its place.

    ```yaml
    - class_path: GradientClip
      init_args: {limit: 1.0, algorithm: norm}
    ```

    Args:
        limit: of the norm or of each value, in the gradient's unit
        algorithm: whether the norm is limited, or each value by itself

    Raises:
        ValueError: in fp16, if the optimizer is fused: it unscales gradients only in its own step
    """

    def __init__(self, limit: PositiveFloat, algorithm: Literal["norm", "value"] = "norm") -> None:
        self.limit, self.algorithm = limit, algorithm
        self.norms: dict[Optimizer, Tensor] = {}  # before the latest clipping

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Behind those that look at the gradients, wherever it is listed.
        others = [callback for callback in trainer.callbacks if callback is not self]
        last = [callback for callback in others if isinstance(callback, Checkpoint)]
        trainer.callbacks = [c for c in others if c not in last] + [self, *last]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.norms = {}

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        if scaled and getattr(optimizer, "_step_supports_amp_scaling", False):
            raise ValueError("clipping in fp16 needs an optimizer that is not fused: fused=false")
        if self.algorithm == "norm":
            self.norms[optimizer] = clip_grad_norm_(parameters(optimizer), self.limit)
        else:
            clip_grad_value_(parameters(optimizer), self.limit)
