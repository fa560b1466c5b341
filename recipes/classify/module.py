"""Cross-entropy on labels, for any network."""

from typing import ClassVar

import torch
from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from datamodules.loading.missing import is_known
from datamodules.loading.splits import Share
from recipes.parts.embedded import show_inputs
from recipes.parts.fitting import check_classifier, count_classes
from recipes.parts.groups import Groups, make_optimizer
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import class_numbers, full, mean_of_known
from recipes.parts.labels import accuracy, cross_entropies, cross_entropy, errors
from recipes.parts.logs import log_count, log_means, log_terms
from recipes.parts.outputs import Output, take_output
from recipes.parts.sharding import distribute
from recipes.parts.weights import Patterns, Start


class Classify(LightningModule):
    """Trains a network to classify, on labels alone.

    Args:
        network: maps inputs (batch, ...) to logits (batch, classes); any class_path
        optimizer: of the network's parameters; any class_path; default: fused Adam at 0.001
        label_smoothing: share of the target spread evenly over all classes, from 0 to below 1
        weights: file of the weights to start from: a state_dict of anyone, by torch.save or
            safetensors, or a checkpoint; not read when a run is resumed or tested
        weights_except: layers, or patterns of names, that stay as initialised: head, "*.bias"
        output: of a network whose output is a dict or tuple, the logits' name, or number from 0
        groups: parameter groups: rates and weight decay by patterns of names, and layer-wise
            decay; by default none
    """

    monitor = ("val/accuracy", "max")  # by which a state is the best
    data_arguments: ClassVar = {"class_target": "whole"}  # where the user gives none

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, fused=True),
        label_smoothing: Share = 0.0,
        weights: str | None = None,
        weights_except: Patterns = None,
        output: Output = None,
        groups: Groups | None = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.network = network
        self.optimizer = optimizer
        self.groups = groups
        self.label_smoothing = label_smoothing
        take_output(output, network)
        self.start = Start(weights_except, weights=weights)

    def setup(self, stage: str) -> None:
        data = self.trainer.datamodule
        check_classifier(self.network, data, stage, "--model.network")
        if stage == "fit" and not self.trainer.ckpt_path:
            show_inputs(self.network, data, "--model.network")

    @staticmethod
    def widths(arguments: Namespace, data: LightningDataModule) -> dict[str, int | None]:
        """The sizes of a network that the data need, where they are not given."""
        return {"outputs": count_classes(data)}

    def configure_model(self) -> None:
        distribute(self, network=self.network)

    def on_fit_start(self) -> None:
        self.start.give(self, weights=self.network)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        inputs, targets = batch
        logits = full(self.network(inputs))
        losses = cross_entropies(logits, targets, self.label_smoothing)
        loss = mean_of_known(self, losses, class_numbers(targets))
        log_terms(self, {"train/loss": loss}, len(targets))
        return loss

    def _evaluate(self, batch: tuple[Tensor, Tensor], split: str) -> dict[str, Tensor]:
        inputs, targets, *_ = batch
        known = is_known(targets)
        logits, targets = full(self.network(inputs))[known], targets[known]
        size = len(targets)
        means = {
            f"{split}/loss": cross_entropy(logits, targets),
            f"{split}/accuracy": accuracy(logits, targets),
        }
        log_means(self, means, size, prog_bar=split == "val")
        log_count(self, f"{split}/errors", errors(logits, targets), size)
        return {"target": targets, "probability": logits.softmax(1)}

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return self._evaluate(batch, "test")  # of which ClassReport and WorstMistakes make theirs

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        inputs, targets, *_ = batch
        logits = full(self.network(inputs))
        return {"target": targets, "prediction": logits.argmax(1), "probability": logits.softmax(1)}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.optimizer, self.groups, network=self.network)
