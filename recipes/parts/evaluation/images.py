"""Images compared by the features of a classifier, or by their pixels."""

import math
from collections.abc import Iterator

import torch
from jsonargparse.typing import PositiveInt
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torchmetrics.utilities import dim_zero_cat

from recipes.parts.evaluation.bars import Track, silent
from recipes.parts.evaluation.base import Evaluation
from recipes.parts.evaluation.distances import (
    classifier_score,
    divergence,
    entropy,
    frechet_distance,
    kernel_distance,
    shares,
)
from recipes.parts.evaluation.extractor import Extractor
from recipes.parts.evaluation.neighbours import fidelity_and_diversity
from recipes.parts.networks import Frozen

COMPARED = ("kid", "fid", "precision", "recall", "density", "coverage")  # keys of `quality`
OF_CLASSES = ("classifier_score", "class_kl", "mode_entropy")  # which need a classifier


def named(key: str, extractor: str) -> str:
    """A value's key with the extractor's name: kid_lenet, kid_lenet_floor."""
    return f"{key.removesuffix('_floor')}_{extractor}{'_floor' if key.endswith('_floor') else ''}"


def quality(real: Tensor, fake: Tensor, track: Track = silent) -> dict[str, Tensor]:
    """All comparisons of features, (n, d) and (m, d), that need no classes; `track` shows them."""
    found = {"kid": kernel_distance(real, fake, track)}
    for compare in track([frechet_distance], "FID"):
        found["fid"] = compare(real, fake)
    return found | fidelity_and_diversity(real, fake, track)


class ImageQuality(Evaluation):
    """Of images, by the features of a classifier that recipes.classify has trained.

    `kid`, `fid`, `precision`, `recall`, `density`, `coverage` compare the samples with as many real
    images. Each comes with its floor: its value for as many training images in place of the
    samples. With a classifier also `classifier_score` (the Inception score, with our classifier),
    `class_kl` (KL(samples || real) of predicted classes, nats) and `mode_entropy` (of the samples'
    predicted classes, nats: if it falls, the generator collapses). Each key ends with the
    extractor's name. The formulas are in distances.py and neighbours.py.

    Time and memory are bounded: at most `examples` of a split are compared, and features of more
    than 2,048 numbers, such as the pixels of a photograph, are projected to 256 at random, always
    alike (`projection.py`).

    Args:
        checkpoint: path of a checkpoint that recipes.classify saved; by default the features are
            the pixels themselves, which is meaningful for images as small as 8x8
        name: in log keys; by default the network's class in lower case, or pixels
        network: that the checkpoint is of; by default the one that it names
        examples: real images of a split that are compared, the first ones, with as many samples
    """

    def __init__(
        self,
        checkpoint: str | None = None,
        name: str | None = None,
        network: nn.Module | None = None,
        examples: PositiveInt = 10_000,
    ) -> None:
        super().__init__("samples", "real", "others", "predicted", "logits")
        self.checkpoint, self.name, self.examples = checkpoint, name, examples
        self.network = network and Frozen(network)
        self.extractor: Extractor | None = None
        # By split, computed once: real features, share of each predicted class, and the floor.
        self.known: dict[str, tuple[Tensor, Tensor | None, dict[str, Tensor]]] = {}

    @property
    def facts(self) -> dict[str, str]:
        return self.extractor.facts

    @property
    def names(self) -> tuple[str, ...]:
        keys = [*COMPARED, *(f"{key}_floor" for key in COMPARED)]
        keys += OF_CLASSES if self.extractor.head is not None else ()
        return tuple(named(key, self.extractor.name) for key in keys)

    def prepare(self, data: LightningDataModule, split: str) -> None:
        if self.extractor is None:
            network = self.network and self.network.network
            self.extractor = Extractor(self.checkpoint, self.name, network).to(self.device)
        self.split = split
        processes = data.trainer.world_size if data.trainer else 1
        self.room = math.ceil(self.examples / processes)  # for further ones, on this process
        if split not in self.known:
            self.pool = self._training_features(data)

    def _training_features(self, data: LightningDataModule) -> Iterator[Tensor]:
        """The features of one training image after the other."""
        for batch in data.train_dataloader():
            batch = data.transfer_batch_to_device(batch, self.device, 0)
            yield from self.extractor(data.on_after_batch_transfer(batch, 0)[0])[0]

    def update(self, samples: Tensor, real: Tensor, targets: Tensor) -> None:
        samples, real = samples[: self.room], real[: self.room]
        self.room -= len(real)
        if not len(real):
            return
        features, logits = self.extractor(samples)
        self.samples.append(features)
        if logits is not None:
            self.logits.append(logits)
        if self.split in self.known:
            return
        features, logits = self.extractor(real)
        self.real.append(features)
        if logits is not None:
            self.predicted.append(logits.argmax(1))
        others = [feature for feature, _ in zip(self.pool, real, strict=False)]
        if others:  # there may be fewer training images
            self.others.append(torch.stack(others))

    def compute(self) -> dict[str, Tensor]:
        samples = dim_zero_cat(self.samples)
        logits = dim_zero_cat(self.logits) if len(self.logits) else None
        if self.split not in self.known:
            real, others = dim_zero_cat(self.real), dim_zero_cat(self.others)
            floor = {
                f"{key}_floor": value for key, value in quality(real, others, self.track).items()
            }
            classes = None
            if logits is not None:
                classes = shares(dim_zero_cat(self.predicted), logits.shape[1])
            self.known[self.split] = real, classes, floor
        real, classes, floor = self.known[self.split]
        values = quality(real, samples, self.track) | floor
        if logits is not None:
            found = shares(logits.argmax(1), logits.shape[1])
            values["classifier_score"] = classifier_score(logits)
            values["class_kl"] = divergence(found, classes)
            values["mode_entropy"] = entropy(found)
        name = self.extractor.name
        return {named(key, name): value.float() for key, value in values.items()}
