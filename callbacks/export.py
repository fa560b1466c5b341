"""A sub-module's weights as a plain file."""

from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from callbacks.averages import whole
from callbacks.ema import averaged
from recipes.parts.files import replacing
from recipes.parts.finite import finite_buffers, spoiled


class Export(Callback):
    """Writes a sub-module's `state_dict` to `<run folder>/<module>.pt` when `fit` ends.

    The file loads into the sub-module's own class, without Lightning or this package:
    `network.load_state_dict(torch.load("student.pt", weights_only=True))`. Where `EMA` averages the
    sub-module, the average is written.

    ```yaml
    - class_path: Export
      init_args: {module: network}
    ```

    Args:
        module: the sub-module's attribute name in the LightningModule, for example student

    Raises:
        ValueError: if there is no such sub-module, or it has no weights
        FloatingPointError: if the weights are not finite; nothing is written then
    """

    def __init__(self, module: str) -> None:
        self.module = module

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        network = getattr(pl_module, self.module, None)
        if not isinstance(network, nn.Module) or not network.state_dict():
            name = type(pl_module).__name__
            raise ValueError(f"Export's module={self.module}: {name} has no such weights to save")
        self.were_finite = finite_buffers(network)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run:
            return
        with averaged(trainer, pl_module):
            network = getattr(pl_module, self.module)
            if name := spoiled(network, self.were_finite):
                raise FloatingPointError(f"{self.module}.{name} is not finite, and not exported")
            weights = network.state_dict()
            # On all processes, where they hold shards.
            state = {name: whole(value).to("cpu", copy=True) for name, value in weights.items()}
        if trainer.is_global_zero:
            with replacing(Path(trainer.default_root_dir) / f"{self.module}.pt") as partial:
                torch.save(state, partial)
