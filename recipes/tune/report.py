"""What Optuna is told of a run while it trains."""

import warnings
from pathlib import Path
from typing import Any

import optuna
from lightning.pytorch import Callback, LightningModule, Trainer

from recipes.tune.folders import RUN, facts


class Report(Callback):
    """Tells Optuna a metric after each validation, and ends the run if it shall be given up.

    In a run of several processes each has one, but only the first holds the trial.

    Args:
        metric: log key
        trial: to report to

    Raises:
        ValueError: if there is no such metric; it lists those that there are
    """

    def __init__(self, metric: str, trial: optuna.Trial | None = None) -> None:
        self.metric, self.trial, self.pruned = metric, trial, False
        self.validations = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.trial is not None:
            folder = Path(trainer.default_root_dir)
            self.trial.set_user_attr("folder", str(folder))  # to be read by people
            self.trial.set_user_attr(RUN, facts(folder).get("wandb_id"))

    def _check(self, trainer: Trainer) -> None:
        if self.metric not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise ValueError(f"--metric={self.metric}: not logged; there are {known}")

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.metric.startswith("val/"):  # what training logs is not known yet
            self._check(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        self.validations += 1
        self._check(trainer)
        if self.trial is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it was told before its process died
                self.trial.report(float(trainer.callback_metrics[self.metric]), self.validations)
            self.pruned = self.trial.should_prune()
        self.pruned = trainer.strategy.broadcast(self.pruned)
        trainer.should_stop = trainer.should_stop or self.pruned
        if self.pruned:
            for logger in trainer.loggers:
                logger.log_hyperparams({"run.pruned": True})

    # Not as the callback's state, which a run without one would miss.
    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["validations"] = self.validations

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.validations = checkpoint.get("validations", 0)
