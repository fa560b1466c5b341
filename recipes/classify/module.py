"""Cross-entropy on labels, for any network."""

import torch
from jsonargparse.typing import ClosedUnitInterval
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.loading.missing import MISSING, is_known
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import mean_of_known
from recipes.parts.logs import log_count, log_means, log_terms
from recipes.parts.outputs import Output, take_output
from recipes.parts.sharding import distribute
from recipes.parts.weights import Patterns, Start


def cross_entropies(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each example, in nats, (batch,); 0 where the target is missing.

    Szegedy et al. 2016, section 7, for label smoothing.

    Args:
        logits: (batch, classes)
        targets: (batch,), class numbers
        smoothing: s, share of the target spread evenly over all classes, 0 to 1
    """
    return F.cross_entropy(
        logits, targets, ignore_index=MISSING, label_smoothing=smoothing, reduction="none"
    )


def accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Share of examples whose largest logit is the target's, 0 to 1.

    Args:
        logits: (batch, classes)
        targets: (batch,), class numbers
    """
    return (logits.argmax(1) == targets).float().mean()


def errors(logits: Tensor, targets: Tensor) -> Tensor:
    """Number of examples whose largest logit is not the target's; shapes as in `accuracy`."""
    return (logits.argmax(1) != targets).sum().float()


class Classify(LightningModule):
    """Trains a network to classify, on labels alone.

    Args:
        network: maps inputs (batch, ...) to logits (batch, classes); any class_path
        optimizer: of the network's parameters; any class_path; default: fused Adam at 0.001
        label_smoothing: share of the target spread evenly over all classes, 0 to 1
        weights: file of the weights to start from: a state_dict of anyone, by torch.save or
            safetensors, or a checkpoint; not read when a run is resumed or tested
        weights_except: layers, or patterns of names, that stay as initialised: head, "*.bias"
        output: of a network whose output is a dict or tuple, the logits' name, or number from 0
    """

    monitor = ("val/accuracy", "max")  # by which a state is the best

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, fused=True),
        label_smoothing: ClosedUnitInterval = 0.0,
        weights: str | None = None,
        weights_except: Patterns = None,
        output: Output = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.network = network
        self.optimizer = optimizer
        self.label_smoothing = label_smoothing
        take_output(output, network)
        self.start = Start(weights_except, weights=weights)

    def configure_model(self) -> None:
        distribute(self, network=self.network)

    def on_fit_start(self) -> None:
        self.start.give(self, weights=self.network)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        inputs, targets = batch
        logits = self.network(inputs).float()
        loss = mean_of_known(self, cross_entropies(logits, targets, self.label_smoothing), targets)
        log_terms(self, {"train/loss": loss}, len(targets))
        return loss

    def _evaluate(self, batch: tuple[Tensor, Tensor], split: str) -> None:
        inputs, targets = batch
        known = is_known(targets)
        logits, targets = self.network(inputs).float()[known], targets[known]
        size = len(targets)
        means = {
            f"{split}/loss": F.cross_entropy(logits, targets),
            f"{split}/accuracy": accuracy(logits, targets),
        }
        log_means(self, means, size, prog_bar=split == "val")
        log_count(self, f"{split}/errors", errors(logits, targets), size)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        inputs, targets, *_ = batch
        logits = self.network(inputs).float()
        return {"target": targets, "prediction": logits.argmax(1), "probability": logits.softmax(1)}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.network.parameters())
