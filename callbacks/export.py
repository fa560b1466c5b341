"""A sub-module's weights as a plain file."""

from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from callbacks.best import best_of
from callbacks.ema import averaged
from recipes.parts.averages import read_evaluated, whole
from recipes.parts.files import replacing
from recipes.parts.finite import finite_buffers, spoiled
from recipes.parts.lora import merged_state


class Export(Callback):
    """Writes a sub-module's `state_dict` to `<run folder>/<module>.pt` when `fit` ends.

    The weights are those of the best validation, in `checkpoints/best.ckpt`, where the recipe says
    which metric that is by, as classify, distill and regress do; otherwise the last.

    The file loads into the sub-module's own class, without Lightning or this package:
    `network.load_state_dict(torch.load("student.pt", weights_only=True))`. Where `EMA` averages the
    sub-module, the average is written; adapters of LoRA are merged into the weights beside them.

    ```yaml
    - class_path: Export
      init_args: {module: network}
    ```

    Args:
        module: the sub-module's attribute name in the LightningModule, for example student
        which: best: the weights of the best validation, where there is one; last: the last weights

    Raises:
        ValueError: if there is no such sub-module, or it has no weights
        FloatingPointError: if the weights are not finite; nothing is written then
    """

    def __init__(self, module: str, which: Literal["best", "last"] = "best") -> None:
        self.module, self.which = module, which

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        network = getattr(pl_module, self.module, None)
        name = type(pl_module).__name__
        if not isinstance(network, nn.Module):
            raise ValueError(f"Export's module={self.module}: {name} has no such network to save")
        if not network.state_dict():
            kind = type(network).__name__
            raise ValueError(f"--model.{self.module}={kind} has no weights: nothing can be trained")
        self.were_finite = finite_buffers(network)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run:
            return
        best = best_of(trainer) if self.which == "best" else None
        if best is None:
            state = self._last(trainer, pl_module)
        elif trainer.is_global_zero:
            saved = read_evaluated(str(best.path), "Export's which=best")["state_dict"]
            start = f"{self.module}."
            state = {k.removeprefix(start): v for k, v in saved.items() if k.startswith(start)}
        if trainer.is_global_zero:
            state = merged_state(getattr(pl_module, self.module), state)
            with replacing(Path(trainer.default_root_dir) / f"{self.module}.pt") as partial:
                torch.save(state, partial)

    def _last(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Tensor]:
        """The weights as they are; on all processes, where they hold shards."""
        with averaged(trainer, pl_module):
            network = getattr(pl_module, self.module)
            if name := spoiled(network, self.were_finite):
                raise FloatingPointError(f"{self.module}.{name} is not finite, and not exported")
            weights = network.state_dict()
            return {name: whole(value).to("cpu", copy=True) for name, value in weights.items()}
