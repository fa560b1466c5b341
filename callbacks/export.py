"""A sub-module's weights as a plain file."""

from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn


class Export(Callback):
    """Writes a sub-module's `state_dict` to `<run folder>/<module>.pt` when `fit` ends.

    The file loads into the sub-module's own class, without Lightning or this package:
    `network.load_state_dict(torch.load("student.pt", weights_only=True))`.

    Args:
        module: the sub-module's attribute name in the LightningModule, for example student
    """

    def __init__(self, module: str) -> None:
        self.module = module

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        network = getattr(pl_module, self.module, None)
        if not isinstance(network, nn.Module) or not network.state_dict():
            name = type(pl_module).__name__
            raise ValueError(f"Export's module={self.module}: {name} has no such weights to save")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not trainer.fast_dev_run:
            path = Path(trainer.default_root_dir) / f"{self.module}.pt"
            state = getattr(pl_module, self.module).state_dict()
            partial = path.with_name(f"{path.name}.partial")
            torch.save({name: value.cpu() for name, value in state.items()}, partial)
            partial.replace(path)
