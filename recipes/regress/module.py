"""Regression with one network or an ensemble of them."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jsonargparse import Namespace
from jsonargparse.typing import NonNegativeInt, OpenUnitInterval, PositiveInt
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from datamodules.loading.loader import data_rank
from recipes.parts.clipping import clip_groups
from recipes.parts.dropout import mc_dropout
from recipes.parts.embedded import show_inputs
from recipes.parts.groups import Groups
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import filled, full, mean_of_known
from recipes.parts.logs import is_logging_step, log_terms
from recipes.parts.networks import NetworkCallable
from recipes.parts.noise import global_seed
from recipes.parts.numbers import PositiveFinite
from recipes.parts.sharding import distribute
from recipes.parts.weights import Patterns, Start
from recipes.regress.checks import (
    Scaling,
    check_dropout,
    check_network,
    check_scaling,
    count_targets,
    scaling,
)
from recipes.regress.lbfgs import check_lbfgs
from recipes.regress.losses import Loss, Name
from recipes.regress.prediction import (
    Noise,
    Predictions,
    by_target,
    noise_of,
    predict,
    scores_by_target,
    summary,
    total_variance,
)

KEPT = ("evaluations", "scaling", "noise")  # in checkpoints, beside the weights


class Regress(LightningModule):
    """Trains a network, or an ensemble of them, to predict a number, or several.

    Args:
        network: maps inputs (batch, features) to outputs (batch, n); any class_path; n is 1, for
            gaussian_nll 2, for quantile the number of quantiles; of several targets, n for each
        optimizer: of the networks' parameters; any class_path; default: fused Adam at 0.001
        loss: mse; mae; huber; gaussian_nll: the network's outputs are mean and variance;
            quantile: its outputs are the quantiles
        delta: of huber: where the squared error becomes linear, in standard deviations of the
            target
        quantiles: of loss quantile, each between 0 and 1, one output of the network each
        ensemble: number of networks, trained side by side from initialisations of their own on the
            same batches (Lakshminarayanan et al. 2017)
        mc_samples: number of passes of each network with dropout on in evaluation and prediction
            (Gal & Ghahramani 2016); 0: one pass with dropout off
        weights: file of the weights to start from: a state_dict of anyone, by torch.save or
            safetensors, or a checkpoint; not read when a run is resumed or tested
        weights_except: layers, or patterns of names, that stay as initialised: head, "*.bias"
        groups: parameter groups: rates and weight decay by patterns of names, and layer-wise
            decay; by default none
    """

    monitor = ("val/rmse", "min")  # by which a state is the best

    def __init__(
        self,
        network: NetworkCallable,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, fused=True),
        loss: Name = "mse",
        delta: PositiveFinite = 1.0,
        quantiles: list[OpenUnitInterval] = [0.05, 0.5, 0.95],  # noqa: B006 - only read
        ensemble: PositiveInt = 1,
        mc_samples: NonNegativeInt = 0,
        weights: str | None = None,
        weights_except: Patterns = None,
        groups: Groups | None = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.loss = Loss.of(loss, delta, quantiles)
        self.optimizer, self.mc_samples = optimizer, int(mc_samples)
        self.groups = groups
        self.start = Start(weights_except, weights=weights)
        # One network is the attribute itself, so that Export writes what its own class loads.
        made = [network() for _ in range(ensemble)]
        self.network = made[0] if len(made) == 1 else nn.ModuleList(made)
        check_dropout(made[0], self.mc_samples)
        self.predictions = Predictions()
        self.evaluations = 0  # of the training loss
        # Not known yet. Numbers, as buffers would be rounded to the precision of the weights.
        self.scaling: Scaling = {}
        self.noise: Noise = math.nan  # of the standardised target

    @staticmethod
    def widths(arguments: Namespace, data: LightningDataModule) -> dict[str, int]:
        """The sizes of a network that the loss and the data need, where they are not given."""
        loss = Loss.of(arguments.loss, arguments.delta, arguments.quantiles)
        return {"outputs": loss.outputs * count_targets(data)}

    @property
    def networks(self) -> list[nn.Module]:
        return list(self.network) if isinstance(self.network, nn.ModuleList) else [self.network]

    def setup(self, stage: str) -> None:
        if stage == "fit" and not self.trainer.ckpt_path:
            for network in self.networks:
                show_inputs(network, self.trainer.datamodule, "--model.network")

    def configure_model(self) -> None:
        for network in self.networks:
            distribute(self, network=network)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of all networks, (networks, batch, n)."""
        return torch.stack([full(network(inputs)) for network in self.networks])

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        inputs, targets = batch
        # The networks share nothing, so that the sum gives each the gradient of its own loss.
        losses = [self._loss(full(network(inputs)), targets) for network in self.networks]
        loss = sum(losses)
        self.evaluations += 1
        if self.is_first_evaluation:  # a line search has more, elsewhere
            self.is_first_evaluation = False
            log_terms(self, {"train/loss": loss / len(losses)}, len(targets))
        return loss

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses = self.loss(by_target(outputs, targets), filled(targets))
        return mean_of_known(self, losses.flatten(), targets.flatten())

    def on_train_batch_start(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.is_first_evaluation = True

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        if is_logging_step(self.trainer):
            self.log("train/evaluations", float(self.evaluations), batch_size=1)

    def passes(self, inputs: Tensor, batch_idx: int) -> Tensor:
        """Outputs of all networks and dropout passes, (passes, batch, n)."""
        if not self.mc_samples:
            return self(inputs)
        key = (global_seed(), batch_idx, data_rank(self.trainer)[0])
        with mc_dropout(self.network, inputs.device, *key):
            return torch.cat([self(inputs) for _ in range(self.mc_samples)])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        inputs, targets, *_ = batch
        outputs = by_target(self.passes(inputs, batch_idx), targets)
        losses = self.loss(outputs, filled(targets)).mean(0)
        self.predictions.update(full(targets), losses, *predict(self.loss, outputs))

    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        noise = self.noise
        if self.loss.needs_noise:
            noise = noise_of(self.predictions.compute())
        if not self.trainer.sanity_checking:  # which sees a few rows only
            self.noise = noise
        self._log_scores("val", noise)

    def on_test_epoch_end(self) -> None:
        self._log_scores("test", self.noise)

    def _log_scores(self, split: str, noise: Noise) -> None:
        std, tables = self.scaling["target"][1], self.predictions.compute()
        found = scores_by_target(self.loss, tables, noise, std, self._names(len(tables)))
        self.predictions.reset()
        for name, value in found.items():
            self.log(f"{split}/{name}", value, prog_bar=name == "rmse", sync_dist=True)

    def _names(self, targets: int) -> list[str]:
        """What the data call several targets, or their numbers."""
        names = getattr(self.trainer.datamodule, "target_names", None)
        return names or [str(number) for number in range(targets)]

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        inputs, targets, *_ = batch
        outputs = by_target(self.passes(inputs, batch_idx), targets)
        # In float64: the mean may be a million times the deviation.
        points, spread, targets = (
            values.cpu().double() for values in (*predict(self.loss, outputs), targets)
        )
        mean, std = torch.tensor(self.scaling["target"], dtype=torch.float64)
        columns = {"target": targets * std + mean, "prediction": points * std + mean}
        if self.loss.name == "quantile":
            columns["quantile"] = spread * std.unsqueeze(-1) + mean.unsqueeze(-1)
        elif (variances := total_variance(self.loss, spread, self.noise)) is not None:
            columns["std"] = variances.sqrt() * std
        if targets.ndim == 1:
            return columns
        parts = {key: values.unbind(1) for key, values in columns.items()}
        names = self._names(targets.shape[1])
        return {f"{key}_{name}": parts[key][i] for key in parts for i, name in enumerate(names)}

    def _read_scaling(self) -> None:
        self.scaling = {"target": [0.0, 1.0]} | scaling(self.trainer.datamodule)

    def on_fit_start(self) -> None:
        check_network(self.networks[0], self.trainer.datamodule, self.loss)
        if self.trainer.ckpt_path:  # else what was trained on before, by a script, is no matter
            check_scaling(self.trainer.datamodule, self.scaling)
        self._read_scaling()
        self.start.give(self, weights=self.network)

    def on_train_start(self) -> None:
        check_lbfgs(self.trainer, self.trainer.optimizers, self.networks)

    def summary(self, metrics: Mapping[str, Tensor]) -> str:
        """How good the predictions are at the end."""
        return summary(metrics)

    def on_validation_start(self) -> None:
        if not self.scaling:
            self._read_scaling()
        check_scaling(self.trainer.datamodule, self.scaling)

    on_test_start = on_predict_start = on_validation_start

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint |= {name: getattr(self, name) for name in KEPT}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for name in KEPT:
            setattr(self, name, checkpoint[name])

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips each network by its own norm, as if it were trained alone; see `clip_groups`."""
        clip_groups(self, optimizer, gradient_clip_val, gradient_clip_algorithm)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.groups is not None:
            names = ["network"] if len(self.networks) == 1 else map(str, range(len(self.networks)))
            return self.groups.make(self.optimizer, **dict(zip(names, self.networks, strict=True)))
        optimizer = self.optimizer(self.network.parameters())
        if len(self.networks) == 1:
            return optimizer
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError("--model.ensemble: a line search of L-BFGS is of one network alone")
        return self.optimizer([{"params": network.parameters()} for network in self.networks])
