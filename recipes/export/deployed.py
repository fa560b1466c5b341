"""A run's predictions as one network: from raw inputs to what `predict` writes."""

import json
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn

from callbacks.write_predictions.columns import is_target
from datamodules.control import Control
from datamodules.reading.vocabulary import Tokens
from recipes.parts.configs import run_of
from recipes.parts.lora import merged
from recipes.regress.checks import count_targets

NETWORKS = ("network", "student")  # the attribute of a recipe that predicts


class Deployed(nn.Module):
    """Preprocessing, network and predictions of a run.

    Args:
        module: with the weights that are to be used
        data: that it was trained on, set up
        merge: whether adapters become part of the weights, see recipes/parts/lora.py

    Raises:
        ValueError: if its predictions are no function of the inputs
    """

    def __init__(
        self, module: LightningModule, data: LightningDataModule, merge: bool = True
    ) -> None:
        super().__init__()
        kind = type(module).__name__
        if isinstance(data, Control):
            raise ValueError(f"{kind} predicts returns of episodes, not from inputs")
        if not (name := network_name(module)):
            raise ValueError(f"{kind} has no {' or '.join(NETWORKS)} that predicts from inputs")
        if getattr(module, "mc_samples", 0):
            raise ValueError("--model.mc_samples: predictions by dropout are drawn at random")
        if merge:
            setattr(module, name, merged(getattr(module, name)))
        self.network = getattr(module, name).requires_grad_(False)
        # No submodules: the network is the only one that has weights.
        self.__dict__["module"], self.__dict__["data"] = module, data
        if hasattr(data, "input_mean"):
            self.register_buffer("input_mean", data.input_mean.double().clone())
            self.register_buffer("input_std", data.input_std.double().clone())

    @property
    def vocabulary(self) -> Tokens | None:
        """What texts are cut into; None where the inputs are no texts."""
        found = getattr(self.module, "vocabulary", None)
        return found if found is not None else getattr(self.data, "vocabulary", None)

    def preprocess(self, inputs: Tensor) -> Tensor:
        """Raw inputs as the network takes them."""
        if hasattr(self, "input_mean"):
            return ((inputs - self.input_mean) / self.input_std).to(self.module.dtype)
        return self.data.scale(inputs) if hasattr(self.data, "scale") else inputs

    def raw(self, inputs: Tensor) -> Tensor:
        """Inputs of a batch that a loader gives, as they were before all preprocessing."""
        if hasattr(self, "input_mean"):
            return inputs.double() * self.input_std + self.input_mean
        return inputs

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Predictions (batch, ...) by name, of raw inputs (batch, ...)."""
        return self.predicted(self.preprocess(inputs))

    def predicted(self, inputs: Tensor) -> dict[str, Tensor]:
        """The run's predictions of preprocessed inputs, those that are floating-point numbers."""
        targets = count_targets(self.data)
        shape = (inputs.shape[0], targets) if targets > 1 else inputs.shape[:1]
        return floats(self.module.predict_step((inputs, torch.zeros(shape)), 0))


def network_name(module: LightningModule) -> str | None:
    """The attribute of a module that predicts, if it has one."""
    return next((name for name in NETWORKS if hasattr(module, name)), None)


def floats(predictions: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a file predicts of what `predict` writes: floating-point numbers, and no targets."""
    return {k: v for k, v in predictions.items() if not is_target(k) and v.is_floating_point()}


def facts(deployed: Deployed, checkpoint: str) -> dict[str, Any]:
    """What a file says of itself: plain text, by name."""
    data, vocabulary = deployed.data, deployed.vocabulary
    found = {
        "recipe": type(deployed.module).__name__,
        "checkpoint": checkpoint,
        "features": getattr(data, "feature_names", None),
        "target": getattr(data, "target_name", None) or getattr(data, "target_names", None),
        "classes": getattr(data, "class_names", None),
        "tokens": vocabulary and vocabulary.plain(),
        "white": getattr(data, "white", None),
        "scaling": getattr(deployed.module, "scaling", None),
        "weights": weights_of(checkpoint),
    }
    return {name: value for name, value in found.items() if value is not None}


def weights_of(checkpoint: str) -> dict[str, Any] | None:
    """The files that a run's networks started from, with their sha256, as its run.json has them."""
    folder = run_of(checkpoint)
    return folder and json.loads((folder / "run.json").read_text()).get("weights")
