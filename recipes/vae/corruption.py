"""What a denoising autoencoder's encoder sees in place of x."""

from abc import ABC, abstractmethod

import torch
from jsonargparse.typing import ClosedUnitInterval
from torch import Tensor

from recipes.parts.noise import normals
from recipes.parts.numbers import PositiveFinite


class Corruption(ABC):
    """What a denoising autoencoder's encoder sees in place of x; subclass it for one of your own.

    Vincent et al. 2010, section 3.1, https://www.jmlr.org/papers/v11/vincent10a.html
    """

    @abstractmethod
    def __call__(self, x: Tensor, random: Tensor) -> Tensor:
        """Corrupted x, (batch, ...).

        Args:
            x: (batch, ...)
            random: uniform from 0 to below 1, of the same shape
        """


class Masking(Corruption):
    """Sets some values to 0: Vincent et al. 2010, section 3.3, "masking noise".

    Args:
        share: of the values, 0 to 1
    """

    def __init__(self, share: ClosedUnitInterval = 0.3) -> None:
        self.share = float(share)

    def __call__(self, x: Tensor, random: Tensor) -> Tensor:
        return torch.where(random < self.share, 0.0, x)


class SaltAndPepper(Corruption):
    """Sets some values to 0 or 1, with even chances: Vincent et al. 2010, section 3.3.

    Args:
        share: of the values, 0 to 1
    """

    def __init__(self, share: ClosedUnitInterval = 0.3) -> None:
        self.share = float(share)

    def __call__(self, x: Tensor, random: Tensor) -> Tensor:
        extreme = (random < self.share / 2).to(x.dtype)
        return torch.where(random < self.share, extreme, x)


class GaussianNoise(Corruption):
    """Adds normal noise to each value: Vincent et al. 2010, section 3.3.

    Args:
        std: its standard deviation, in the unit of the inputs
    """

    def __init__(self, std: PositiveFinite = 0.3) -> None:
        self.std = float(std)

    def __call__(self, x: Tensor, random: Tensor) -> Tensor:
        return x + self.std * normals(random)
