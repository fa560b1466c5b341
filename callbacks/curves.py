"""Logged metrics over epochs, as a picture."""

import math
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure

from recipes.parts.files import replacing


class Curves(Callback):
    """Draws metrics over epochs to `<run folder>/curves.png` when training ends.

    The scale is that of the second half of training, where runs differ by little.

    ```yaml
    - class_path: Curves
      init_args: {metrics: [val/accuracy, val/loss]}
    ```

    Args:
        metrics: log keys to draw in one picture, or log key to the name of its curve; what is not
            logged is left out
        axis: label of the vertical axis, with the unit of what is drawn
    """

    def __init__(self, metrics: list[str] | dict[str, str], axis: str = "") -> None:
        self.axis = axis
        self.metrics = metrics if isinstance(metrics, dict) else {key: key for key in metrics}
        self.values: dict[str, list[float]] = {key: [] for key in metrics}
        self.epochs: list[int] = []

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "values": self.values}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs, saved = state_dict["epochs"], state_dict["values"]
        unknown = [math.nan] * len(self.epochs)
        self.values = {key: saved.get(key, unknown.copy()) for key in self.metrics}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        self.epochs.append(trainer.current_epoch)
        for key, values in self.values.items():
            values.append(float(trainer.callback_metrics.get(key, float("nan"))))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        drawn = {key: v for key, v in self.values.items() if v and math.isfinite(v[-1])}
        if not drawn or trainer.fast_dev_run or not trainer.is_global_zero:
            return
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot(xlabel="epoch", ylabel=self.axis)
        for key, values in drawn.items():
            axes.plot(self.epochs, values, label=f"{self.metrics[key]} {values[-1]:.4f}")
        late = [v for values in drawn.values() for v in values[len(values) // 2 :] if v == v]
        margin = 0.1 * (max(late) - min(late)) or 0.01
        axes.set_ylim(min(late) - margin, max(late) + margin)
        axes.grid(alpha=0.3)
        axes.legend()
        with replacing(Path(trainer.default_root_dir) / "curves.png") as partial:
            figure.savefig(partial, dpi=120, format="png")
