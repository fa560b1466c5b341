"""L1 regularisation as a proximal step."""

import torch
from jsonargparse.typing import NonNegativeFloat
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.nn.functional import softshrink
from torch.optim import Optimizer

from callbacks.optimizers import after_updates


class L1(Callback):
    """Shrinks weights towards zero after every update, and small ones to exactly zero.

        w <- sign(w) max(0, |w| - lr * strength)

    the proximal step of strength * sum |w| (soft thresholding: Parikh & Boyd 2014, "Proximal
    algorithms", section 6.5.2; with the gradient step before it, ISTA, section 4.2), with the
    parameter group's learning rate of that step. A penalty in the loss would never make a weight
    zero, and adaptive optimizers would rescale it. Acts on matrices and kernels, not on biases and
    the scales of normalisation.

    ```yaml
    - class_path: L1
      init_args: {strength: 0.001, module: network}
    ```

    Args:
        strength: weight of the sum of absolute weights in the loss, in its unit
        module: the sub-module's attribute name in the LightningModule; by default all of it

    Raises:
        ValueError: if there is no such sub-module
    """

    def __init__(self, strength: NonNegativeFloat, module: str = "") -> None:
        self.strength, self.module = strength, module

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        weights = set(weight_tensors(pl_module, self.module).values())

        @torch.no_grad()
        def shrink(optimizer: Optimizer) -> None:
            for group in optimizer.param_groups:
                for weight in weights.intersection(group["params"]):
                    if not weight.requires_grad:  # of a layer that stands still
                        continue
                    weight.copy_(softshrink(weight, float(group["lr"]) * self.strength))

        self.handles = after_updates(trainer, shrink)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for handle in self.handles:
            handle.remove()


def weight_tensors(pl_module: LightningModule, module: str) -> dict[str, torch.nn.Parameter]:
    """Parameters of two or more dimensions of a sub-module, by their names in the whole.

    Raises:
        ValueError: if there is no such sub-module
    """
    if module not in dict(pl_module.named_modules()):
        known = ", ".join(name for name, _ in pl_module.named_children())
        raise ValueError(f"module={module}: there is no such module, but {known}")
    inside = set(pl_module.get_submodule(module).parameters())
    return {n: p for n, p in pl_module.named_parameters() if p in inside and p.ndim > 1}
