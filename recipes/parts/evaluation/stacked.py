"""Modes of stacked digits that samples find."""

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torchmetrics.utilities import dim_zero_cat

from recipes.parts.evaluation.base import Evaluation
from recipes.parts.evaluation.distances import divergence, entropy, shares
from recipes.parts.evaluation.extractor import Extractor
from recipes.parts.networks import Frozen

SIZE = 28  # of the images that the classifier takes, pixels


class StackedModes(Evaluation):
    """Of stacked digits, by a classifier of MNIST that reads the digit in each channel.

    Lin et al. 2018 (PacGAN), section 4.2. `modes`: how many of the 1,000 numbers the samples show;
    `kl`: KL(samples || real) in nats, where the real numbers are equally likely; `kl_floor` and
    `modes_floor`: those of as many real examples, by their true labels; `mode_entropy`: of the
    samples' numbers, in nats. A few thousand samples cannot have a KL near 0: see the floor.

    Args:
        checkpoint: path of a checkpoint that recipes.classify saved, trained on MNIST
        name: of the classifier, for the run's record; by default its network's class in lower case
        network: that the checkpoint is of; by default the one that it names
    """

    def __init__(
        self, checkpoint: str, name: str | None = None, network: nn.Module | None = None
    ) -> None:
        super().__init__("numbers", "real")
        self.checkpoint, self.name = checkpoint, name
        self.network = network and Frozen(network)
        self.extractor: Extractor | None = None

    @property
    def facts(self) -> dict[str, str]:
        return self.extractor.facts

    @property
    def names(self) -> tuple[str, ...]:
        return "modes", "kl", "modes_floor", "kl_floor", "mode_entropy"

    def prepare(self, data: LightningDataModule, split: str) -> None:
        if getattr(data, "modes", None) != 1000:
            kind = type(data).__name__
            raise ValueError(f"--model.evaluation=StackedModes: StackedMNIST has them, not {kind}")
        if self.extractor is None:
            network = self.network and self.network.network
            self.extractor = Extractor(self.checkpoint, self.name, network).to(self.device)

    def update(self, samples: Tensor, real: Tensor, targets: Tensor) -> None:
        margin = (samples.shape[-1] - SIZE) // 2  # where images were padded
        digits = samples[..., margin : margin + SIZE, margin : margin + SIZE]
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
