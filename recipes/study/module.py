"""Every optimizer x setting x seed x split in one batched training."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jsonargparse.typing import NonNegativeInt, OpenUnitInterval, PositiveFloat, PositiveInt
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from callbacks import LRDecay
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.logs import is_logging_step, log_terms
from recipes.parts.networks import NetworkCallable
from recipes.regress.checks import check_network
from recipes.regress.lbfgs import check_lbfgs
from recipes.regress.losses import Loss, Name
from recipes.study.checks import (
    check_definition,
    check_epochs,
    check_length,
    check_scale,
    check_target,
    check_trainer,
)
from recipes.study.finalists import Finalists
from recipes.study.members import Member, Networks
from recipes.study.metrics import metrics, sums
from recipes.study.population import Population
from recipes.study.record import Metric, Record, choose, rung_epochs, survivors
from recipes.study.report import report_fit, report_test
from recipes.study.search import Grid, Kind, Search, propose
from recipes.study.together import Together

Key = tuple[int, int]  # of a member: its round, and its number there


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
        delta: PositiveFloat = 1.0,
        quantiles: list[OpenUnitInterval] = [0.05, 0.5, 0.95],  # noqa: B006 - only read
        seeds: list[NonNegativeInt] = [0, 1, 2, 3, 4],  # noqa: B006 - only read
        splits: list[NonNegativeInt] = [0],  # noqa: B006 - only read
        schedules: dict[str, LRDecay] | None = None,
        networks: dict[str, NetworkCallable] | None = None,
        metric: Metric = "rmse",
        target: float | None = None,
        choose: Literal["over_splits", "per_split"] = "over_splits",
        halving: PositiveInt = 1,
        rungs: PositiveInt = 3,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        if not (optimizers and seeds and splits):
            raise ValueError("a study needs --model.optimizers, --model.seeds, --model.splits")
        if loss == "quantile" and metric == "nll":
            raise ValueError("--model.metric=nll: loss quantile has no likelihood")
        self.makers, self.search = optimizers, search or Grid()
        self.loss = Loss(loss, float(delta), tuple(map(float, quantiles)))
        # Of the data: a member trains on one of them.
        self.streams = list(itertools.product(map(int, splits), map(int, seeds)))
        self.schedules, self.scheduled = schedules or {"": None}, bool(schedules)
        made = {"": network} | (networks or {})
        self.networks = {label: Networks(make) for label, make in made.items()}
        self.registered = nn.ModuleList(self.networks.values())  # their buffers move with this
        self.metric, self.target, self.per_split = metric, target, choose == "per_split"
        self.halving, self.rungs = int(halving), int(rungs)
        self.records: list[Record] = []
        self.kept: dict[Key, tuple[Tensor, float]] = {}  # the best of earlier rounds
        self.trained: Tensor | None = None  # scale of the data of the fit that goes on here
        self.begin_round()

    # The method.

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        # The gradient of the sum is, for each member, the gradient of its own loss.
        inputs, targets = self.of_members(batch)
        losses = self.population.losses(inputs, targets)
        if is_logging_step(self.trainer):
            log_terms(self, {"train/loss": self.population.latest.nanmedian()}, targets.shape[1])
        # What diverged stays out of the sum; its gradient is NaN, so that all processes drop it.
        finite = losses.isfinite()
        losses.register_hook(lambda gradient: gradient.masked_fill(~finite, math.nan))
        return torch.where(finite, losses, 0).sum()

    def of_members(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """What each member is given, (members, batch, ...), from the batches of the streams."""
        inputs, targets = batch
        return inputs.index_select(0, self.stream), targets.index_select(0, self.stream)

    def configure_optimizers(self) -> Together:
        self.together = Together(self.population.make_optimizers())
        return self.together

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        self.population.begin_batch(self.multipliers)

    def on_after_backward(self) -> None:
        # Before a step, not while accumulating: gradients are then not yet those of all processes.
        if not self.trainer.fit_loop._should_accumulate():
            for part in self.population.parts:
                part.mask()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        for part in self.population.parts if gradient_clip_val else ():
            part.clip(gradient_clip_val, gradient_clip_algorithm)

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        self.population.end_batch()

    def on_train_epoch_end(self) -> None:
        every = self.trainer.check_val_every_n_epoch or 1
        if not sum(self.trainer.num_val_batches) and (self.trainer.current_epoch + 1) % every == 0:
            self.add_row({})
        epoch, last = self.epoch_of_round(), self.epochs
        if epoch in rung_epochs(last, self.halving, self.rungs):
            record, ids = self.records[-1], self.population.ids
            kept = survivors(record, self.metric, self.per_split, ids, self.halving)
            self.population.keep(kept)
            self.place(self.population)
            rank_zero_info(f"epoch {epoch}: {len(kept)} of {len(ids)} members go on")
        if epoch == last and len(self.records) < self.search.rounds:
            self.kept = self.best()
            self.begin_round()
            self.population.to(self.device, self.dtype)
            self.place(self.population)
            self.together.begin(self.population.make_optimizers())

    # Start and end of a fit.

    def setup(self, stage: str) -> None:
        data, rounds = self.trainer.datamodule, self.search.rounds
        if not hasattr(data, "join"):
            raise ValueError("--data: a study needs tabular data, such as Diabetes or UCI")
        if isinstance(self.trainer.strategy, ModelParallelStrategy):
            raise ValueError("--trainer.strategy: a study's networks are small: ddp, not sharded")
        if stage == "fit":
            check_epochs(self.trainer, rounds, self.halving > 1)
        epochs = self.trainer.max_epochs
        self.epochs = epochs // rounds if epochs and epochs > 0 else math.inf  # of a round
        data.join(self.streams, self.epochs if rounds > 1 else None)
        self.scale = data.target_scale

    def on_fit_start(self) -> None:
        epochs = self.epochs if self.search.rounds > 1 else 0
        check_trainer(self.trainer, self.halving > 1, epochs, self.scheduled)
        for network in self.networks.values():
            check_network(network.made(0), self.trainer.datamodule, self.loss)
        self.place(self.population)

    def on_train_start(self) -> None:
        networks = [network.template for network in self.networks.values()]
        stocks = [part.stock for part in self.population.parts]
        check_lbfgs(self.trainer, stocks, networks, self.scheduled)
        check_target(self.target, self.metric, sum(self.trainer.num_val_batches) > 0)
        length = self.epochs * self.trainer.num_training_batches
        self.multipliers = {
            label: schedule.resolve(self.trainer, length if self.search.rounds > 1 else None)
            for label, schedule in self.schedules.items()
            if schedule is not None
        }
        if self.population.batches == 0:
            rank_zero_info(self.population.summary())

    def on_fit_end(self) -> None:
        if self.trainer.is_global_zero and not self.trainer.fast_dev_run:
            report_fit(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["study"] = {
            "records": [record.state() for record in self.records],
            "kept": [[*key, *value] for key, value in self.kept.items()],
            "progress": self.population.progress(),
            "scale": self.scale,
            "epochs": None if math.isinf(self.epochs) else self.epochs,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint["study"]
        check_definition(self.hparams, checkpoint["hyper_parameters"])
        fits = self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        if fits and (self.halving > 1 or self.search.rounds > 1):
            check_length(self.epochs, saved["epochs"])
        self.trained = saved["scale"]
        self.records = [Record.of_state(state) for state in saved["records"]]
        self.kept = {(r, i): (weights, noise) for r, i, weights, noise in saved["kept"]}
        self.populate(saved["progress"]["ids"])
        # Lightning loads the weights before it gives the module the run's precision.
        self.population.to(next(iter(checkpoint["state_dict"].values())).dtype)
        self.population.restore(saved["progress"])

    # Rounds, and their members.

    def begin_round(self) -> None:
        """Makes the members of the next round, from what the rounds before have come to."""
        kinds = itertools.starmap(
            Kind, itertools.product(self.networks, self.makers, self.schedules)
        )
        splits = dict.fromkeys(split for split, _ in self.streams)
        seeds = dict.fromkeys(seed for _, seed in self.streams)
        members = [
            Member(trial, seed, split)
            for trial in propose(self.search, kinds, self.records, self.metric)
            for split in (splits if trial.split is None else [trial.split])
            for seed in seeds
        ]
        if strangers := {member.split for member in members}.difference(splits):
            raise ValueError(f"--model.splits={list(splits)} lacks {sorted(strangers)}")
        self.records.append(Record(members))
        self.populate(range(len(members)))

    def populate(self, ids: Sequence[int]) -> None:
        """Makes the networks of some members of the latest round, as they start."""
        members = [(i, self.records[-1].members[i]) for i in ids]
        self.population = Population(self.networks, self.makers, members, self.loss)

    def place(self, population: Population) -> None:
        """Notes which of the data's streams each member of a population is given."""
        numbers = {stream: number for number, stream in enumerate(self.streams)}
        streams = [numbers[member.split, member.seed] for member in population.members]
        self.stream = torch.tensor(streams, device=self.device)

    def epoch_of_round(self) -> int:
        """Epochs that the present members have been trained."""
        return self.trainer.current_epoch + 1 - (len(self.records) - 1) * self.epochs

    def add_row(self, values: dict[str, Tensor]) -> None:
        """Adds a row to the record: evaluated metrics, and the training since the row before."""
        epoch = self.population.batches / self.trainer.num_training_batches
        population, values = self.population, {**values, **self.population.end_row()}
        lost = ~population.alive
        self.records[-1].add(epoch, population.ids, values, lost, population.first)

    def best(self) -> dict[Key, tuple[Tensor, float]]:
        """Weights and residual variance of the members that the present choice consists of."""
        latest, best = len(self.records) - 1, {}
        for choice in choose(self.records, self.metric, self.per_split):
            if math.isinf(choice.score):
                continue
            if choice.record < latest:
                best |= {(choice.record, i): self.kept[choice.record, i] for i in choice.ids}
                continue
            for i, weights in zip(choice.ids, self.population.weights_of(choice.ids), strict=True):
                best[latest, i] = (weights, self.records[-1].latest("noise", i))
        return best

    # Evaluation: of all members while they train; in a command of its own, of the chosen ones.

    def on_validation_epoch_start(self) -> None:
        check_scale(self.scale, self.trained)
        self.total: dict[str, Tensor] = {}
        self.place(self.population)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        inputs, targets = self.of_members(batch)
        for name, value in sums(self.loss, self.population(inputs), targets).items():
            self.total[name] = self.total.get(name, 0) + value

    def on_validation_epoch_end(self) -> None:
        reduce = self.trainer.strategy.reduce
        total = {name: reduce(value, reduce_op="sum") for name, value in self.total.items()}
        unit = self.scale.to(self.stream.device)[self.stream, 1]
        found = metrics(total, unit, self.loss.needs_noise)
        self.log("val/loss", found["loss"].nanmedian(), prog_bar=True)
        if self.trainer.sanity_checking or self.trainer.state.fn != TrainerFn.FITTING:
            return
        values = {f"val/{name}": value for name, value in found.items()}
        self.add_row({**values, "noise": total["squared"] / total["rows"]})
        best = {}
        for choice in choose(self.records[-1:], self.metric, self.per_split):
            best.setdefault(f"val/{self.metric}/{choice.trial.optimizer}", []).append(choice.score)
        self.log_dict({key: sum(scores) / len(scores) for key, scores in best.items()})

    def begin_evaluation(self) -> None:
        """Makes the chosen members ready to be asked.

        Raises:
            ValueError: if there are none, there are several processes, or the data are others
        """
        check_scale(self.scale, self.trained)
        best = self.best()
        if self.trainer.world_size > 1:
            raise ValueError("a study is evaluated on one process: --trainer.devices=1")
        if not best:
            raise ValueError("no member has a finite loss: there is nothing to evaluate")
        members = [(n, self.records[r].members[i]) for n, (r, i) in enumerate(best)]
        population = Population(self.networks, self.makers, members, self.loss)
        weights, noise = zip(*best.values(), strict=True)
        population.set_weights(dict(enumerate(weights)))
        population.to(self.device, self.dtype)
        self.place(population)
        noise = torch.tensor([noise[n] for n in population.ids], device=self.device)
        self.finalists = Finalists(population, noise, self.scale.to(self.device)[self.stream])

    on_test_epoch_start = on_predict_epoch_start = begin_evaluation

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.finalists.update(*self.of_members(batch))

    def on_test_epoch_end(self) -> None:
        self.log_dict(report_test(self, self.finalists.rows()))

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return self.finalists.columns(*self.of_members(batch), self.trainer.datamodule.split)
