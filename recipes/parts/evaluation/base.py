"""What every evaluation of samples offers."""

import math
from abc import abstractmethod

from lightning.pytorch import LightningDataModule
from torch import Tensor
from torchmetrics import Metric

from recipes.parts.evaluation.bars import Track, silent


class Evaluation(Metric):
    """Compares samples with as many real examples; subclass it for one of your own.

    torchmetrics gathers what `update` appends from all processes, before `compute`.

    Args:
        states: names of the attributes that `update` appends tensors to

    Attributes:
        track: shows the parts that `compute` goes through
        room: further samples that `update` takes, on this process; others are left out
    """

    full_state_update = False
    room: float = math.inf

    def __init__(self, *states: str) -> None:
        super().__init__()
        self.track: Track = silent
        for state in states:
            self.add_state(state, default=[], dist_reduce_fx="cat")

    @property
    def facts(self) -> dict[str, str]:
        """What the values depend on, such as a classifier's weights, for the run's record."""
        return {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the values, after `prepare`: what a callback may monitor."""
        return ()

    def prepare(self, data: LightningDataModule, split: str) -> None:
        """Is called before the first batch of a split.

        Args:
            data: where real examples come from
            split: val or test

        Raises:
            ValueError: if samples of these data cannot be evaluated
        """

    @abstractmethod
    def update(self, samples: Tensor, real: Tensor, targets: Tensor) -> None:
        """Takes a batch.

        Args:
            samples: (batch, ...), images in [0, 1]
            real: (batch, ...), likewise
            targets: of the real examples, (batch,)
        """

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """The values by name, of all batches since the last `reset`."""
