"""A monitored metric that nobody logs is found before the first epoch, not at its end."""

from collections.abc import Iterable
from difflib import get_close_matches

from lightning.pytorch import Callback, LightningModule, Trainer

from recipes.parts.logs import is_logging_step


def of_validation(metric: str) -> bool:
    """Whether a metric is one of validation's, by its name."""
    return metric.startswith(("val/", "val_"))


class Monitors(Callback):
    """Looks for what other callbacks monitor among what is logged.

    Validation's metrics are known from Lightning's sanity check, and so none may be logged for the
    first time after it; those of training from the first step that is logged, where a metric of
    the epoch is still missing: there only a name that looks misspelt is refused.

    Raises:
        ValueError: with the callback, the metric, and what it may be meant to be
    """

    def __init__(self) -> None:
        self.wanted: list[tuple[str, str]] = []  # the callback's name and the metric
        self.known: set[str] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.known = set()
        self.wanted = [
            (type(callback).__name__, callback.monitor)
            for callback in trainer.callbacks
            if isinstance(getattr(callback, "monitor", None), str)
            and getattr(callback, "strict", True)  # EarlyStopping's way to wait for a metric
            and getattr(callback, "interval", "epoch") == "epoch"  # else it may be no metric
        ]

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not sum(trainer.num_val_batches):
            return
        self.known = set(trainer.callback_metrics)
        for name, metric in self.wanted:
            if of_validation(metric) and metric not in self.known:
                said = meant(metric, self.known) or "."
                raise ValueError(
                    f"{name}'s monitor={metric} is not logged by validation{said} One that is "
                    "logged later needs --trainer.num_sanity_val_steps=0"
                )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if sum(trainer.num_val_batches):
            return
        for name, metric in self.wanted:
            if of_validation(metric):
                raise ValueError(
                    f"{name}'s monitor={metric}: there is no validation; see --data and "
                    "--trainer.limit_val_batches"
                )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        if not self.wanted or not is_logging_step(trainer):
            return
        known = self.known | set(trainer.callback_metrics)
        for name, metric in self.wanted:
            is_whole = metric.endswith(("_epoch", "_step"))  # Lightning's names, which look alike
            if not (of_validation(metric) or metric in known or is_whole):
                if said := meant(metric, known):
                    raise ValueError(f"{name}'s monitor={metric} is not logged{said}")
        self.wanted = []


def meant(metric: str, known: Iterable[str]) -> str:
    """What a metric that there is not may be meant to be, in words."""
    close = get_close_matches(metric, sorted(known), n=1)
    return f": is it {close[0]}?" if close else ""
