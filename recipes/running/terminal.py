"""What a run shows in the terminal: its networks, its progress, and at last what it came to."""

import time
from collections.abc import Mapping, Sequence

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelSummary, ProgressBar, RichProgressBar
from rich import get_console
from rich.table import Table
from torch import Tensor

from datamodules.loading.missing import is_known
from recipes.parts.keys import headline
from recipes.parts.networks import Frozen
from recipes.running.files import count_parameters

OFTEN = 0.05  # seconds between two movements of the bar


class Progress(RichProgressBar):
    """Lightning's progress bar with the one metric that matters: the latest validation's.

    It moves no more often than a person sees: for a small network a step of the bar is a tenth of
    a step of training.
    """

    def __init__(self) -> None:
        super().__init__()
        self.latest: dict[str, float] = {}
        self.moved = 0.0  # when, in seconds of a clock

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        now, number = time.monotonic(), batch_idx + 1
        is_last = number == trainer.num_training_batches or trainer.global_step == trainer.max_steps
        if is_last or now - self.moved >= OFTEN:
            self.moved = now
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        return self.latest or {
            key: value for key, value in trainer.progress_bar_metrics.items() if key == "loss"
        }

    def _get_train_description(self, current_epoch: int) -> str:
        if self.trainer.max_epochs == -1:  # Lightning's would be "Epoch 3/-2"
            return f"Epoch {current_epoch}".ljust(len(self.validation_description))
        return super()._get_train_description(current_epoch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            if validated := validation(trainer.callback_metrics):
                key = headline(validated)
                self.latest = {key: float(validated[key])}
        super().on_validation_end(trainer, pl_module)


class Networks(Callback):
    """Shows a module's networks and their sizes when a fit starts.

    Lightning's own summary adds lines that are 0 without an example input, such as FLOPs.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        table = Table("network", "type", "parameters", "trained")
        for column in table.columns[2:]:
            column.justify = "right"
        for name, child in pl_module.named_children():
            network = child.network if isinstance(child, Frozen) else child
            counts = count_parameters(network)
            if counts["total"]:
                table.add_row(name, type(network).__name__, *(f"{n:,}" for n in counts.values()))
        if table.row_count:
            get_console().print(table)


def shown(callbacks: list[Callback], progress_bar: bool, model_summary: bool) -> list[Callback]:
    """What a run shows beside the callbacks that the user has chosen.

    Args:
        callbacks: the run's own
        progress_bar: whether there shall be one
        model_summary: likewise
    """
    found: list[Callback] = []
    if progress_bar and not any(isinstance(c, ProgressBar) for c in callbacks):
        found.append(Progress())
    if model_summary and not any(isinstance(c, ModelSummary) for c in callbacks):
        found.append(Networks())
    return found


def validation(metrics: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the logged metrics that are validation's."""
    return {key: value for key, value in metrics.items() if key.startswith("val/")}


def outcome(module: LightningModule, metrics: Mapping[str, Tensor]) -> str:
    """The last line of a fit: what the recipe says of its validation, or the main metric.

    Args:
        module: with a method `summary` of these metrics, if it has more to say
        metrics: the last that were logged
    """
    if not (validated := validation(metrics)):
        return ""
    if hasattr(module, "summary"):
        return module.summary(validated)
    key = headline(validated)
    return f"validation: {key.removeprefix('val/')} {float(validated[key]):.4g}"


def unknown(trainer: Trainer, stage: str) -> str:
    """What to say of an evaluation that tells nothing, since none of its targets is known.

    Args:
        trainer: that has evaluated
        stage: val or test
    """
    found = {k: v for k, v in trainer.callback_metrics.items() if k.startswith(f"{stage}/")}
    if found and not found[headline(found)].isnan():
        return ""
    loaders = trainer.test_dataloaders if stage == "test" else trainer.val_dataloaders
    batches = [batch for batch in loaders or () if isinstance(batch, Sequence)]
    targets = [batch[1] for batch in batches if len(batch) > 1]
    if not targets or any(is_known(each).any() for each in targets):
        return ""
    split = {"val": "validation", "test": "test"}[stage]
    return (
        f"{split}: no target is known, so no metric is a number; give it labelled rows, see --data"
    )


def why_stopped(trainer: Trainer) -> list[str]:
    """Why early stopping has ended a run, a line for each such callback that has."""
    found = [callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)]
    return [
        f"stopped early, after epoch {callback.stopped_epoch}: "
        + callback.stopping_reason_message.removesuffix(". Signaling Trainer to stop.")
        for callback in found
        if trainer.should_stop and callback.stopping_reason_message
    ]
