"""How good samples are, without a download: modes of mixtures, and features of our classifiers."""

from abc import abstractmethod
from collections.abc import Iterator

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from recipes.gan.distances import (
    classifier_score,
    divergence,
    entropy,
    frechet_distance,
    kernel_distance,
    shares,
)
from recipes.gan.extractor import Extractor
from recipes.gan.neighbours import fidelity_and_diversity

WITHIN = 3  # standard deviations from a mode to a sample of high quality
DIGITS = 28  # size of the images that a classifier of digits takes, pixels


class Evaluation(Metric):
    """Compares samples with as many real examples; gathered from all processes by torchmetrics."""

    full_state_update = False

    def __init__(self, *states: str) -> None:
        super().__init__()
        for state in states:
            self.add_state(state, default=[], dist_reduce_fx="cat")

    @property
    def facts(self) -> dict[str, str]:
        """What the values depend on, for the run's record."""
        return {}

    def prepare(self, data: LightningDataModule, split: str) -> None:
        """To be called before the first of a split's batches.

        Args:
            data: where real examples come from
            split: val or test

        Raises:
            ValueError: if it cannot evaluate samples of these data
        """

    @abstractmethod
    def update(self, samples: Tensor, real: Tensor, targets: Tensor) -> None:
        """Takes a batch: samples and real examples (batch, ...), images in [0, 1], and classes."""

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """The values by name, of all batches since the last `reset`."""


class MixtureQuality(Evaluation):
    """Of points from the mixtures Ring and Grid, after Lin et al. 2018 (PacGAN), section 4.1.

    A sample is of high quality if it is within 3 standard deviations of the nearest mode; of real
    points 98.9 % are. `high_quality`: their share; `modes`: modes that are the nearest one of any;
    `reverse_kl`: KL(samples || real) in nats, each sample counted for its nearest mode, all modes
    equally likely in truth; `mode_entropy`: of the samples over their nearest modes, in nats, log
    of the number of modes if all are equally likely: if it falls, the generator collapses.
    """

    def __init__(self) -> None:
        super().__init__("samples")

    def prepare(self, data: LightningDataModule, split: str) -> None:
        if not (hasattr(data, "centers") and hasattr(data, "std")):
            kind = type(data).__name__
            raise ValueError(f"--model.evaluation=MixtureQuality: {kind} has no modes; Ring has")
        self.centers, self.std = data.centers, data.std

    def update(self, samples: Tensor, real: Tensor, targets: Tensor) -> None:
        self.samples.append(samples.float())

    def compute(self) -> dict[str, Tensor]:
        samples = dim_zero_cat(self.samples)
        centers = self.centers.to(samples)
        nearest = torch.cdist(samples, centers).min(1)
        is_good = nearest.values <= WITHIN * self.std
        found = shares(nearest.indices, len(centers))
        uniform = torch.full_like(found, 1 / len(centers))
        return {
            "modes": nearest.indices[is_good].unique().numel() * torch.ones(()),
            "high_quality": is_good.float().mean(),
            "reverse_kl": divergence(found, uniform).float(),
            "mode_entropy": entropy(found).float(),
        }


class ImageQuality(Evaluation):
    """Of images, by the features of a classifier that recipes.classify has trained.

    `kid`, `fid`, `precision`, `recall`, `density`, `coverage` compare as many samples as there are
    real images. Each comes with its floor, which is its value for as many training images in place
    of the samples. With a classifier also `classifier_score` (the Inception score, by ours),
    `class_kl` (of predicted classes, samples || real, nats) and `mode_entropy` (of the samples'
    predicted classes, nats: if it falls, the generator collapses). Each key ends with the
    extractor's name. The formulas are in distances.py and neighbours.py.

    Args:
        checkpoint: path of a checkpoint that recipes.classify saved; by default the features are
            the pixels themselves, which says something of images as small as 8x8
        name: in log keys; by default the network's class in lower case, or pixels
    """

    def __init__(self, checkpoint: str | None = None, name: str | None = None) -> None:
        super().__init__("samples", "real", "others", "predicted", "logits")
        self.checkpoint, self.name = checkpoint, name
        self.extractor: Extractor | None = None
        # Of each split, once: real features, the share of each predicted class, and the floor.
        self.known: dict[str, tuple[Tensor, Tensor | None, dict[str, Tensor]]] = {}

    @property
    def facts(self) -> dict[str, str]:
        return self.extractor.facts

    def prepare(self, data: LightningDataModule, split: str) -> None:
        if self.extractor is None:
            self.extractor = Extractor(self.checkpoint, self.name).to(self.device)
        self.split = split
        if split not in self.known:
            self.pool = self._training_features(data)

    def _training_features(self, data: LightningDataModule) -> Iterator[Tensor]:
        """One training image's after the other."""
        for batch in data.train_dataloader():
            batch = data.transfer_batch_to_device(batch, self.device, 0)
            yield from self.extractor(data.on_after_batch_transfer(batch, 0)[0])[0]

    def update(self, samples: Tensor, real: Tensor, targets: Tensor) -> None:
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
        if others:  # there may be fewer of them
            self.others.append(torch.stack(others))

    def compute(self) -> dict[str, Tensor]:
        samples = dim_zero_cat(self.samples)
        logits = dim_zero_cat(self.logits) if len(self.logits) else None
        if self.split not in self.known:
            real, others = dim_zero_cat(self.real), dim_zero_cat(self.others)
            floor = {f"{key}_floor": value for key, value in quality(real, others).items()}
            classes = None
            if logits is not None:
                classes = shares(dim_zero_cat(self.predicted), logits.shape[1])
            self.known[self.split] = real, classes, floor
        real, classes, floor = self.known[self.split]
        values = quality(real, samples) | floor
        if logits is not None:
            found = shares(logits.argmax(1), logits.shape[1])
            values["classifier_score"] = classifier_score(logits)
            values["class_kl"] = divergence(found, classes)
            values["mode_entropy"] = entropy(found)
        name = self.extractor.name
        return {named(key, name): value.float() for key, value in values.items()}


def named(key: str, extractor: str) -> str:
    """A value's key with the extractor's name: kid_lenet, kid_lenet_floor."""
    return f"{key.removesuffix('_floor')}_{extractor}{'_floor' if key.endswith('_floor') else ''}"


def quality(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """All distances of features (n, d) and (m, d) that need no classes."""
    distances = {"kid": kernel_distance(real, fake), "fid": frechet_distance(real, fake)}
    return distances | fidelity_and_diversity(real, fake)


class StackedModes(Evaluation):
    """Of stacked digits, by a classifier of MNIST that is asked for each channel.

    Lin et al. 2018 (PacGAN), section 4.2. `modes`: of the 1,000 numbers, those that any sample
    reads; `kl`: KL(samples || real) in nats, all numbers equally likely in truth; `kl_floor` and
    `modes_floor`: those of as many real examples, by their true labels; `mode_entropy`: of the
    samples' numbers, in nats. A few thousand samples cannot have a KL near 0: see the floor.

    Args:
        checkpoint: path of a checkpoint that recipes.classify saved, trained on MNIST
        name: of the classifier, for the run's record
    """

    def __init__(self, checkpoint: str, name: str | None = None) -> None:
        super().__init__("numbers", "real")
        self.checkpoint, self.name = checkpoint, name
        self.extractor: Extractor | None = None

    @property
    def facts(self) -> dict[str, str]:
        return self.extractor.facts

    def prepare(self, data: LightningDataModule, split: str) -> None:
        if getattr(data, "modes", None) != 1000:
            kind = type(data).__name__
            raise ValueError(f"--model.evaluation=StackedModes: StackedMNIST has them, not {kind}")
        if self.extractor is None:
            self.extractor = Extractor(self.checkpoint, self.name).to(self.device)

    def update(self, samples: Tensor, real: Tensor, targets: Tensor) -> None:
        margin = (samples.shape[-1] - DIGITS) // 2  # of images that were padded
        digits = samples[..., margin : margin + DIGITS, margin : margin + DIGITS]
        _, logits = self.extractor(digits.flatten(0, 1).unsqueeze(1))
        hundreds, tens, ones = logits.argmax(1).unflatten(0, (-1, 3)).unbind(1)
        self.numbers.append(100 * hundreds + 10 * tens + ones)
        self.real.append(targets)

    def compute(self) -> dict[str, Tensor]:
        values = {}
        for numbers, suffix in ((self.numbers, ""), (self.real, "_floor")):
            found = shares(dim_zero_cat(numbers), 1000)
            values[f"modes{suffix}"] = (found > 0).sum()
            values[f"kl{suffix}"] = divergence(found, torch.full_like(found, 1 / 1000))
        values["mode_entropy"] = entropy(shares(dim_zero_cat(self.numbers), 1000))
        return {name: value.float() for name, value in values.items()}
