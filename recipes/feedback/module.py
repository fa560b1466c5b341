"""Feedback alignment, direct or layer by layer, beside back-propagation."""

from typing import ClassVar, Literal

import torch
from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from torch import Tensor
from torch.nn import functional as F

from datamodules.loading.missing import is_known
from datamodules.reading.classes import check_type
from recipes.feedback.network import FeedbackMLP, Method
from recipes.parts.fitting import check_classifier, count_classes
from recipes.parts.groups import Groups, make_optimizer
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import class_numbers, full, mean_of_known
from recipes.parts.labels import accuracy, cross_entropies, errors
from recipes.parts.logs import is_logging_step, log_count, log_means, log_terms


def binary_cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each example, summed over its classes, in nats, (batch,).

    Each output is a probability of its own, sigmoid(logit): 1 is wanted of the target's, 0 of the
    others (Nøkland 2016). The gradient is sigmoid(logits) less the target's one-hot
    code. An example without a target has 0.

    Args:
        logits: (batch, classes)
        targets: (batch,), class numbers

    Raises:
        ValueError: if labels are no int64
        RuntimeError: if one is no class
    """
    check_type(targets)
    known = is_known(targets)
    wanted = F.one_hot(torch.where(known, targets, 0), logits.shape[1]).to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(1)
    return torch.where(known, losses, 0)


LOSSES = {"cross_entropy": cross_entropies, "binary_cross_entropy": binary_cross_entropies}


def angle(update: Tensor, gradient: Tensor) -> Tensor:
    """The angle between two vectors, degrees from 0 to 180; 90 if one of them is zero.

    Below 90 degrees a small enough step along the update lowers the loss.

    Args:
        update: (n,)
        gradient: (n,)
    """
    update, gradient = update.double(), gradient.double()
    norms = update.norm() * gradient.norm()
    cosine = (update @ gradient) / torch.where(norms > 0, norms, 1)
    return torch.rad2deg(cosine.clamp(-1, 1).acos()).float()


class Feedback(LightningModule):
    """Trains a network to classify, by feedback alignment or back-propagation.

    Args:
        network: FeedbackMLP, whose argument feedback is the method
        loss: cross_entropy: of classes that exclude each other; binary_cross_entropy: of each class
            by itself, summed over classes
        optimizer: of the network's parameters; any class_path; default: RMSprop at 0.001
        groups: parameter groups: rates and weight decay by patterns of names, and layer-wise
            decay; by default none
    """

    monitor = ("val/accuracy", "max")  # by which a state is the best
    data_arguments: ClassVar = {"class_target": "whole"}  # where the user gives none

    def __init__(
        self,
        network: FeedbackMLP,
        loss: Literal["cross_entropy", "binary_cross_entropy"] = "cross_entropy",
        optimizer: OptimizerCallable = lambda params: torch.optim.RMSprop(params, lr=0.001),
        groups: Groups | None = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self.groups = groups

    def setup(self, stage: str) -> None:
        strategy = self.trainer.strategy
        if isinstance(strategy, (FSDPStrategy, ModelParallelStrategy)):
            raise ValueError(
                f"--trainer.strategy={type(strategy).__name__}: angles need the gradients of whole "
                "layers: --config=ddp"
            )
        check_classifier(self.network, self.trainer.datamodule, stage, "--model.network")

    @staticmethod
    def widths(arguments: Namespace, data: LightningDataModule) -> dict[str, int | None]:
        """The sizes of a network that the data need, where they are not given."""
        return {"outputs": count_classes(data)}

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        inputs, targets = batch
        loss = self.mean_loss(self.network(inputs), targets)
        terms = {"train/loss": loss}
        if is_logging_step(self.trainer) and self.network.feedback != "backpropagation":
            terms |= self.angles(inputs, targets)
        log_terms(self, terms, len(targets))
        return loss

    def mean_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of the examples of a batch whose target is known, nats."""
        losses = LOSSES[self.loss](full(logits), targets)
        return mean_of_known(self, losses, class_numbers(targets))

    def angles(self, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The angle between the update and the gradient of each hidden layer, by its log key.

        Args:
            inputs: of a batch, (batch, ...)
            targets: (batch,), class numbers
        """
        update = self.gradients(inputs, targets, self.network.feedback)
        gradient = self.gradients(inputs, targets, "backpropagation")
        pairs = zip(update, gradient, strict=True)
        return {f"train/angle/{layer}": angle(*pair) for layer, pair in enumerate(pairs, 1)}

    def gradients(self, inputs: Tensor, targets: Tensor, feedback: Method) -> list[Tensor]:
        """What a method gives each hidden layer's weights and bias, of all processes' batch.

        A pass of its own, in the weights' own precision, from the same state of the random numbers:
        each method drops the same units, and no later step draws others because of it.

        Args:
            inputs: of this process's batch, (batch, ...)
            targets: (batch,), class numbers
            feedback: the method

        Returns:
            of each hidden layer its weights' and bias's, (units * inputs + units,)
        """
        device = self.device
        devices = [] if device.type == "cpu" else [device]
        layers = self.network.hidden
        with (
            torch.random.fork_rng(devices, device_type=device.type),
            torch.autocast(device.type, enabled=False),
        ):
            # `forward`, as the callback Compile would compile each method anew.
            loss = self.mean_loss(self.network.forward(inputs, feedback), targets)
            found = torch.autograd.grad(loss, list(layers.parameters()))
        flat = [torch.cat([w.flatten(), b]) for w, b in zip(found[::2], found[1::2], strict=True)]
        return [self.trainer.strategy.reduce(vector, reduce_op="mean") for vector in flat]

    def evaluate(self, batch: tuple[Tensor, Tensor], split: str) -> dict[str, Tensor]:
        """Logs the mean loss, the accuracy and the errors of a batch's labelled examples."""
        inputs, targets, *_ = batch
        known = is_known(targets)
        logits, targets = full(self.network(inputs))[known], targets[known]
        means = {
            f"{split}/loss": LOSSES[self.loss](logits, targets).mean(),
            f"{split}/accuracy": accuracy(logits, targets),
        }
        log_means(self, means, len(targets), prog_bar=split == "val")
        log_count(self, f"{split}/errors", errors(logits, targets), len(targets))
        return {"target": targets, "probability": self.probabilities(logits)}

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of each class, (batch, classes): by the binary loss each by itself."""
        return logits.softmax(1) if self.loss == "cross_entropy" else logits.sigmoid()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.evaluate(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return self.evaluate(batch, "test")  # of which ClassReport and WorstMistakes make theirs

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        inputs, targets, *_ = batch
        logits = full(self.network(inputs))
        found = {"prediction": logits.argmax(1), "probability": self.probabilities(logits)}
        return {"target": targets, **found}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.optimizer, self.groups, network=self.network)
