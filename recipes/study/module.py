"""Every optimizer x setting x seed x split in one batched training."""

import math
from collections.abc import Mapping
from functools import partial
from itertools import product
from typing import Any, Literal

import torch
from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, OpenUnitInterval, PositiveInt
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from callbacks import LRDecay
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import mean_of_known
from recipes.parts.logs import is_logging_step, log_terms
from recipes.parts.networks import NetworkCallable
from recipes.parts.numbers import PositiveFinite
from recipes.regress.losses import Loss, Name
from recipes.study.batching import summary
from recipes.study.checks import (
    check_definition,
    check_evaluation,
    check_fit,
    check_length,
    check_scale,
    check_setup,
    check_start,
)
from recipes.study.definition import check_accumulation, check_study
from recipes.study.finalists import Finalists, training_metrics
from recipes.study.members import Networks
from recipes.study.metrics import Total, metrics, sums
from recipes.study.population import Population
from recipes.study.record import Record
from recipes.study.report import report_fit, report_test
from recipes.study.rounds import Rounds
from recipes.study.search import Grid, Kind, Search
from recipes.study.selection import Metric, Selection
from recipes.study.together import Together


class Study(LightningModule):
    """Trains K copies of a network together and compares their optimizers.

    Args:
        network: maps inputs (batch, features) to outputs (batch, n); any class_path; n is 1, for
            gaussian_nll 2, for quantile the number of quantiles
        optimizers: label to class_path and init_args, which has no lr: the search gives it
        search: of learning rates and weight decays: Grid (if none is given), Random, Bayes, Chosen
        loss: as in recipes.regress
        delta: of huber, in standard deviations of the target
        quantiles: of loss quantile, each between 0 and 1
        seeds: of the members' initialisations and orders; each trial is trained from each
        splits: of the data; each trial is trained on each
        schedules: label to LRDecay; each trial is trained with each; by default constant rates
        accumulate: label of an optimizer to the batches whose mean gradient one of its steps takes,
            if not 1; all batches of an epoch: gradient descent
        networks: further networks, label to class_path; each trial is trained with each
        metric: by which trials are compared, on validation data, or without such by the training
            loss: loss, or rmse, mae, nll in the target's own unit
        target: value of that metric; the table tells when each optimizer reached it
        choose: the best setting of an optimizer over_splits, by its mean, or per_split
        halving: successive halving: only the best 1/halving of each optimizer's trials go on
            after 1/halving of the epochs, 1/halving^2 of them and so on; 1 is off
        rungs: how often trials are dropped
    """

    def __init__(
        self,
        network: NetworkCallable,
        optimizers: dict[str, OptimizerCallable],
        search: Search | None = None,
        loss: Name = "mse",
        delta: PositiveFinite = 1.0,
        quantiles: list[OpenUnitInterval] = [0.05, 0.5, 0.95],  # noqa: B006 - only read
        seeds: list[NonNegativeInt] = [0, 1, 2, 3, 4],  # noqa: B006 - only read
        splits: list[NonNegativeInt] = [0],  # noqa: B006 - only read
        schedules: dict[str, LRDecay] | None = None,
        accumulate: dict[str, PositiveInt] | None = None,
        networks: dict[str, NetworkCallable] | None = None,
        metric: Metric = "rmse",
        target: float | None = None,
        choose: Literal["over_splits", "per_split"] = "over_splits",
        halving: PositiveInt = 1,
        rungs: PositiveInt = 3,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.makers, self.schedules = optimizers, schedules or {}
        self.loss = Loss.of(loss, delta, quantiles)
        self.selection = Selection(metric, choose == "per_split", int(halving), int(rungs))
        search = search or Grid()
        check_study(optimizers, search, self.loss, metric, seeds, splits)
        check_accumulation(optimizers, accumulate or {})
        made = {"": network} | (networks or {})
        self.networks = {label: Networks(make) for label, make in made.items()}
        self.registered = nn.ModuleList(self.networks.values())  # their buffers move with this
        self.target = target
        self.streams = list(product(map(int, splits), map(int, seeds)))  # of the data
        kinds = [Kind(*labels) for labels in product(made, optimizers, schedules or [""])]
        populate = partial(
            Population, self.networks, optimizers, self.loss, self.streams, accumulate=accumulate
        )
        self.rounds = Rounds(search, kinds, self.streams, self.selection, populate)
        self.population = self.rounds.begin()
        self.trained: Tensor | None = None  # scale of the data in the checkpoint, if there is one

    @staticmethod
    def widths(arguments: Namespace, data: LightningDataModule) -> dict[str, int]:
        """The sizes of a network that the loss needs, where they are not given."""
        loss = Loss.of(arguments.loss, arguments.delta, arguments.quantiles)
        return {"outputs": loss.outputs}

    @property
    def records(self) -> list[Record]:
        """The members of all rounds, and their metrics."""
        return self.rounds.records

    # Training: a step of all members. Halving drops some after an epoch, a round replaces all.

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        # The gradient of the sum is, for each member, the gradient of its own loss.
        inputs, targets = self.population.assign(batch)
        losses = self.population.losses(inputs, targets, partial(mean_of_known, self))
        if is_logging_step(self.trainer):
            log_terms(self, {"train/loss": self.population.latest.nanmedian()}, targets.shape[1])
        # What diverged stays out of the sum; its gradient is NaN, so that all processes drop it.
        finite = losses.isfinite()
        losses.register_hook(lambda gradient: gradient.masked_fill(~finite, math.nan))
        return torch.where(finite, losses, 0).sum()

    def configure_optimizers(self) -> Together:
        self.together = Together(self.population.make_optimizers())
        return self.together

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        self.population.begin_batch(self.multipliers)

    def on_after_backward(self) -> None:
        # Before a step, not while accumulating: gradients are then not yet those of all processes.
        if not self.trainer.fit_loop._should_accumulate():
            self.population.mask()
            self.population.gather()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if gradient_clip_val:
            self.population.clip(gradient_clip_val, gradient_clip_algorithm)

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        self.population.end_batch()

    def on_train_epoch_end(self) -> None:
        done, every = self.trainer.current_epoch + 1, self.trainer.check_val_every_n_epoch or 1
        if not sum(self.trainer.num_val_batches) and done % every == 0:
            self.rounds.add_row({}, self.trainer.num_training_batches)  # there is no validation
        epochs = self.rounds.epochs
        epoch = done - (len(self.records) - 1) * epochs  # of the round
        if epoch in self.selection.rung_epochs(epochs):
            count, kept = len(self.population.ids), self.rounds.halve()
            rank_zero_info(f"epoch {epoch}: {kept} of {count} members go on")
        if epoch == epochs and len(self.records) < self.rounds.search.rounds:
            self.population = self.rounds.begin().to(self.device, self.dtype)
            self.together.begin(self.population.make_optimizers())

    # Validation: of all members.

    def on_validation_epoch_start(self) -> None:
        check_scale(self.scale, self.trained)
        self.total = Total()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        inputs, targets = self.population.assign(batch)
        self.total.add(sums(self.loss, self.population(inputs), targets))

    def on_validation_epoch_end(self) -> None:
        total = self.total.over_processes(self.trainer)
        std = self.scale.to(self.device)[self.population.stream, 1]
        found = metrics(total, std, self.loss.needs_noise)
        self.log("val/loss", found["loss"].nanmedian(), prog_bar=True, sync_dist=True)
        if self.trainer.sanity_checking:  # which sees a few rows only, and gets the names alone
            unknown = dict.fromkeys(self.rounds.score_keys.values(), math.nan)
            self.log_dict(unknown, sync_dist=True)
        if self.trainer.sanity_checking or self.trainer.state.fn != TrainerFn.FITTING:
            return
        row = {f"val/{name}": value for name, value in found.items()}
        row["noise"] = total["squared"] / total["rows"]
        self.rounds.add_row(row, self.trainer.num_training_batches)
        self.log_dict(self.rounds.latest_scores(), sync_dist=True)

    # Test and prediction: of the chosen members alone.

    def on_test_epoch_start(self) -> None:
        check_evaluation(self.trainer, self.scale, self.trained)
        chosen = self.rounds.finalists()
        self.finalists = Finalists(*chosen, self.scale, self.device, self.dtype)

    on_predict_epoch_start = on_test_epoch_start

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.finalists.update(batch)

    def on_test_epoch_end(self) -> None:
        self.log_dict(report_test(self.trainer, self.finalists.rows()), sync_dist=True)

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        inputs, targets, *_ = batch
        return self.finalists.predict(inputs, targets, self.trainer.datamodule.split)

    # Start and end of a fit, and checkpoints.

    def setup(self, stage: str) -> None:
        check_setup(self.trainer, stage, self.rounds)
        self.rounds.divide(self.trainer.max_epochs)
        self.trainer.datamodule.join(self.streams, self.rounds.period)
        self.scale = self.trainer.datamodule.target_scale

    def on_fit_start(self) -> None:
        networks, scheduled = self.networks.values(), bool(self.schedules)
        check_fit(self.trainer, self.rounds, networks, self.loss, scheduled)

    def on_train_start(self) -> None:
        metric, scheduled = self.selection.metric, bool(self.schedules)
        check_start(self.trainer, self.population, metric, self.target, scheduled)
        period = self.rounds.period
        batches = period and period * self.trainer.num_training_batches
        self.multipliers = {
            label: schedule.resolve(self.trainer, batches)
            for label, schedule in self.schedules.items()
        }
        if self.population.progress.batches == 0:
            rank_zero_info(summary(self.makers, self.population.groups))

    def on_fit_end(self) -> None:
        if self.trainer.is_global_zero and not self.trainer.fast_dev_run:
            best, data = self.rounds.best(), self.trainer.datamodule
            train = training_metrics(best, self.networks, self.loss, data, self.device)
            report_fit(self.trainer, self.rounds, train, self.target)

    def summary(self, metrics: Mapping[str, Tensor]) -> str:
        """The best optimizer, and its learning rate."""
        metric = f"by validation {self.selection.metric}"
        best = min(self.rounds.choices(), key=lambda choice: choice.score)
        if math.isfinite(best.score):
            what = f"{best.trial.optimizer} at {best.trial.learning_rate:g}"
            return f"best: {what}, {metric}, {best.score:.4g}"
        # Where other processes have trained (ddp_spawn), metrics alone have come back.
        keys = self.rounds.score_keys.items()
        scores = {label: float(metrics[key]) for label, key in keys if key in metrics}
        if not scores:
            return ""  # of a fit without validation
        label = min(scores, key=scores.get)
        if math.isfinite(scores[label]):
            where = " of the last round" if self.rounds.search.rounds > 1 else ""
            return f"best{where}: {label}, {metric}, {scores[label]:.4g}"
        return f"best: none {metric}, as no member's is finite"

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["study"] = {**self.rounds.state(), "scale": self.scale}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint["study"]
        check_definition(self.hparams, checkpoint["hyper_parameters"])
        if self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            check_length(self.rounds, saved["epochs"])
        self.trained = saved["scale"]
        # Lightning loads the weights before it gives the module the run's precision.
        precision = next(iter(checkpoint["state_dict"].values())).dtype
        self.population = self.rounds.restore(saved).to(precision)
