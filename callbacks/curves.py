"""Logged metrics over epochs, as a picture."""

import math
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recipes.parts.drawing import name_ends, show_all, style
from recipes.parts.files import replacing
from recipes.parts.keys import in_words
from recipes.parts.logs import is_logging_step

LOSSES = {"train/loss": "training", "val/loss": "validation"}
MOST = 2000  # points of a curve; of more, every other one goes


class Curves(Callback):
    """Draws metrics over epochs to `<run folder>/curves.png` when training ends.

    From the first value on: on a log scale where the range asks for it, or with the second half of
    training in an inset. Beside them the losses of training and validation, where these are logged.

    ```yaml
    - class_path: Curves
      init_args: {metrics: [val/accuracy, val/loss]}
    ```

    Args:
        metrics: log keys to draw in one picture, or log key to the name of its curve; what is not
            logged is left out
        axis: label of the vertical axis, with the unit of what is drawn; by default the metrics'
        over: log key of the horizontal axis, such as samples; by default epochs
        losses: whether these are drawn beside the metrics
    """

    def __init__(
        self,
        metrics: list[str] | dict[str, str],
        axis: str = "",
        over: str | None = None,
        losses: bool = True,
    ) -> None:
        self.metrics = metrics if isinstance(metrics, dict) else {key: key for key in metrics}
        self.axis, self.over, self.losses = axis, over, losses
        # Of each key its epochs, of which a batch is a part, or values of `over`, and its values.
        self.points: dict[str, tuple[list[float], list[float]]] = {
            key: ([], []) for key in {**self.metrics, **LOSSES}
        }

    def state_dict(self) -> dict[str, Any]:
        return {"points": {key: list(points) for key, points in self.points.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict["points"]
        self.points = {key: tuple(saved.get(key, ([], []))) for key in self.points}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        if is_logging_step(trainer):
            self._take(trainer, "train/")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._take(trainer, "val/")

    def _take(self, trainer: Trainer, split: str) -> None:
        if not trainer.is_global_zero:
            return
        found = trainer.callback_metrics
        if self.over is not None and self.over not in found:
            return
        place = epochs_of(trainer) if self.over is None else float(found[self.over])
        for key, (epochs, values) in self.points.items():
            if key.startswith(split) and key in found:
                epochs.append(place)
                values.append(float(found[key]))
                if len(epochs) > MOST:
                    del epochs[1::2], values[1::2]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        known = {key for key, (_, values) in self.points.items() if any(map(math.isfinite, values))}
        if trainer.fast_dev_run or not (trainer.is_global_zero and known & self.metrics.keys()):
            return
        metrics = {key: name for key, name in self.metrics.items() if key in known}
        beside = known - metrics.keys() if self.losses else set()
        losses = {key: name for key, name in LOSSES.items() if key in beside}
        figure = Figure(figsize=(12 if losses else 7, 4), layout="constrained")
        panels = figure.subplots(1, 1 + bool(losses), squeeze=False)[0]
        axis = self.axis or ", ".join(dict.fromkeys(map(in_words, metrics)))
        unit = "batches" if math.isinf(trainer.num_training_batches) else "epochs"
        unit = in_words(self.over) if self.over else unit
        for axes, shown, label in zip(panels, (metrics, losses), (axis, "loss"), strict=False):
            axes.set(xlabel=unit, ylabel=label)
            self._draw(axes, shown)
        with replacing(Path(trainer.default_root_dir) / "curves.png") as partial:
            figure.savefig(partial, dpi=120, format="png")

    def _draw(self, axes: Axes, shown: dict[str, str]) -> None:
        curves = {key: self.points[key] for key in shown}
        for part in (axes, show_all(axes, list(curves.values()))):
            for number, points in enumerate(curves.values() if part else ()):
                part.plot(*points, marker="." if len(points[0]) == 1 else "", **style(number))
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        ends = {
            f"{shown[key]} {values[-1]:.4g}": (epochs[-1], values[-1], style(number)["color"])
            for number, (key, (epochs, values)) in enumerate(curves.items())
            if math.isfinite(values[-1])
        }
        name_ends(axes, ends)


def epochs_of(trainer: Trainer) -> float:
    """How many epochs have been trained, parts of one too; of endless ones, how many batches."""
    batches = trainer.num_training_batches
    if math.isinf(batches):
        return trainer.global_step
    ready = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return trainer.current_epoch + ready / batches
