"""A sub-module's weights as a plain file."""

from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class Export(Callback):
    """Writes a sub-module's `state_dict` to `<run folder>/<module>.pt` after `fit` and `predict`.

    The file loads into the sub-module's own class, without Lightning or this package:
    `network.load_state_dict(torch.load("student.pt", weights_only=True))`.

    Args:
        module: the sub-module's attribute name in the LightningModule, for example student
    """

    def __init__(self, module: str) -> None:
        self.module = module

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not hasattr(pl_module, self.module):
            raise ValueError(f"Export's module={self.module}: {type(pl_module).__name__} has none")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not trainer.fast_dev_run:
            path = Path(trainer.default_root_dir) / f"{self.module}.pt"
            state = getattr(pl_module, self.module).state_dict()
            torch.save({name: value.cpu() for name, value in state.items()}, path)

    on_predict_end = on_fit_end
