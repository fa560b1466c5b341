"""Features that images are compared by: those of a classifier of ours, or the pixels."""

import hashlib
import os
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from recipes.parts.averages import read_evaluated
from recipes.parts.brief import brief
from recipes.parts.evaluation.projection import Projection
from recipes.parts.networks import Frozen
from recipes.parts.saved import load_network, saved_network

OPTION = "--model.evaluation.checkpoint"


class Extractor(nn.Module):
    """Features, and logits if there is a classifier: frozen, and in no checkpoint.

    Features of more than 2,048 numbers are projected to 256 at random, always alike: `Projection`.

    Args:
        checkpoint: path of a checkpoint that recipes.classify saved; without one, features are the
            pixels, which are meaningful for images as small as 8x8
        name: in log keys; by default the network's class in lower case, or pixels
        network: that the checkpoint is of; by default the one that it names

    Raises:
        FileNotFoundError, ValueError: if there is no such checkpoint, it is damaged, or its network
            has no parts `features` and `head`

    Attributes:
        facts: name; path and sha256 of the weights, 12 digits; how features are projected
    """

    def __init__(
        self,
        checkpoint: str | None = None,
        name: str | None = None,
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.features = self.head = None
        self.name = name or "pixels"
        self.projection = Projection()
        self.facts = {"name": self.name}
        if checkpoint is None:
            return
        path = os.path.expanduser(checkpoint)
        saved = read_evaluated(path, OPTION)
        network = network or saved_network(saved, path, OPTION, "--model.evaluation.network")
        try:
            network = load_network(network, saved).float()
        except RuntimeError as error:
            reason = brief(str(error))
            raise ValueError(f"{OPTION}={path} does not fit its network: {reason}") from error
        if not (hasattr(network, "features") and hasattr(network, "head")):
            kind = type(network).__name__
            raise ValueError(f"{OPTION}={path}: {kind} has no parts `features` and `head`")
        self.features, self.head = Frozen(network.features), Frozen(network.head)
        self.name = name or type(network).__name__.lower()
        self.facts = {"name": self.name, "checkpoint": str(Path(path)), "sha256": digest(network)}

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (batch, n) and logits (batch, classes), float32, of images in [0, 1].

        Raises:
            ValueError: if the classifier does not take such images
        """
        if self.features is None:
            return self._projected(images.float()), None
        try:
            with torch.autocast(images.device.type, enabled=False):
                features = self.features(images.float()).flatten(1)
                return self._projected(features), self.head(features)
        except RuntimeError as error:
            shape = tuple(images.shape[1:])
            raise ValueError(f"{OPTION}: the classifier does not take images {shape}") from error

    def _projected(self, features: Tensor) -> Tensor:
        """At most 2,048 numbers of each; that they are fewer than they were is told once."""
        with torch.autocast(features.device.type, enabled=False):
            found = self.projection(features.flatten(1))
        fact = self.projection.fact
        if fact and "projection" not in self.facts:
            self.facts["projection"] = fact
            rank_zero_info(f"note: --model.evaluation: {fact}")
        return found


def digest(network: nn.Module) -> str:
    """The first 12 hexadecimal digits of the sha256 of a network's weights and their names."""
    found = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        found.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        found.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:12]
