"""The max-norm constraint on the weights of linear layers."""

import torch
from jsonargparse.typing import PositiveFloat
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer

from callbacks.optimizers import after_updates, is_frozen


class MaxNorm(Callback):
    """Scales a unit's incoming weights back to a largest L2 norm after every update.

        w <- w * min(1, limit / |w|)

    Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors"
    (2012), section 2, https://arxiv.org/abs/1207.0580: instead of a penalty, an upper bound on
    the norm of the incoming weight vector of each hidden unit, by division where it is exceeded.
    All linear layers but the last of each network hold hidden units, and the last is bounded too.

    ```yaml
    - class_path: MaxNorm
      init_args: {limit: 3.87}
    ```

    Args:
        limit: largest L2 norm of a unit's incoming weights, in their unit; the paper's squared
            length of 15 is a limit of 3.87
    """

    def __init__(self, limit: PositiveFloat = 3.87) -> None:
        self.limit = limit

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        layers = [layer for layer in pl_module.modules() if isinstance(layer, nn.Linear)]
        weights = {layer.weight for layer in layers}

        @torch.no_grad()
        def bound(optimizer: Optimizer) -> None:
            groups = [group for group in optimizer.param_groups if not is_frozen(group)]
            for weight in weights.intersection(
                w for g in groups for w in g["params"] if w.requires_grad
            ):
                # Not renorm_, which knows no sharded weights.
                norms = torch.linalg.vector_norm(weight, dim=1, keepdim=True)
                weight.mul_(self.limit / norms.clamp(min=self.limit))

        self.handles = after_updates(trainer, bound)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for handle in self.handles:
            handle.remove()
