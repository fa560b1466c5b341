"""Features of fewer numbers, for distances that take the square or cube of how many there are."""

import torch
from torch import Tensor, nn

from datamodules.loading.loader import keyed_generator

MOST = 2048  # numbers that are compared as they are: as many as Inception's, of FID and KID
COUNT = 256  # numbers that more of them are projected to
SEED = 0


def random_projection(width: int, count: int = COUNT) -> Tensor:
    """A matrix (width, count) that keeps the distances of features (n, width), but for a factor.

    Its entries are independent and normal, always the same: Dasgupta & Gupta, "An elementary proof
    of a theorem of Johnson and Lindenstrauss" (2003), https://doi.org/10.1002/rsa.10073. Of 256
    numbers a distance is off by about 4 %. Their variance 1 / width keeps the mean square of a
    number, and so the mean product that KID's kernel is of; squared distances, and FID, are
    count / width of what they were.
    """
    return torch.randn(width, count, generator=keyed_generator(SEED)) / width**0.5


class Projection(nn.Module):
    """Projects features of more than 2,048 numbers to 256, and leaves others as they are.

    An FID of 12,288 numbers, 64x64 pixels in colour, would take their covariance's eigenvalues:
    gigabytes, and days.

    Attributes:
        fact: what has been projected, in words; empty if nothing has been
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matrix", None, persistent=False)

    @property
    def fact(self) -> str:
        if self.matrix is None:
            return ""
        width, count = self.matrix.shape
        return f"{width:,} features are compared by {count} random projections, seed {SEED}"

    def forward(self, features: Tensor) -> Tensor:
        """Of features (batch, n): themselves, or (batch, 256)."""
        width = features.shape[1]
        if width <= MOST:
            return features
        if self.matrix is None:
            self.matrix = random_projection(width).to(features)
        return features @ self.matrix
