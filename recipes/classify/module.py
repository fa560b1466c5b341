"""Cross-entropy on labels, for any network."""

import torch
from jsonargparse import Namespace
from jsonargparse.typing import ClosedUnitInterval
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.loading.missing import MISSING, is_known
from recipes.parts.embedded import show_inputs
from recipes.parts.fitting import check_classifier, count_classes
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import mean_of_known
from recipes.parts.logs import log_count, log_means, log_terms
from recipes.parts.sharding import distribute


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
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, fused=True),
        label_smoothing: ClosedUnitInterval = 0.0,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.network = network
        self.optimizer = optimizer
        self.label_smoothing = label_smoothing

    @staticmethod
    def widths(arguments: Namespace, data: LightningDataModule) -> dict[str, int | None]:
        """The sizes of a network that the data need, where they are not given."""
        return {"outputs": count_classes(data)}

    def setup(self, stage: str) -> None:
        if stage == "fit" and not self.trainer.ckpt_path:
            show_inputs(self.network, self.trainer.datamodule)

    def configure_model(self) -> None:
        distribute(self, network=self.network)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)

    def on_fit_start(self) -> None:
        check_classifier(self.network, self.trainer.datamodule, "--model.network")

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
