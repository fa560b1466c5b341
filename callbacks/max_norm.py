"""The max-norm constraint on the weights of linear layers."""

import torch
from jsonargparse.typing import PositiveFloat
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn


class MaxNorm(Callback):
    """Scales a unit's incoming weights back to a largest L2 norm after every update.

    Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors"
    (2012), section 2, https://arxiv.org/abs/1207.0580: instead of a penalty, an upper bound on
    the norm of the incoming weight vector of each hidden unit, by division where it is exceeded.
    All linear layers but the last of each network hold hidden units, and the last is bounded too.

    Args:
        limit: largest L2 norm of a unit's incoming weights; the paper's squared length of 15 is
            a limit of 3.87
    """

    def __init__(self, limit: PositiveFloat = 3.87) -> None:
        self.limit = limit

    @torch.no_grad()
    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        for layer in pl_module.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.renorm_(2, 0, self.limit)
