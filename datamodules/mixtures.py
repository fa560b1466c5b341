"""Points of the plane around known centres: mixtures whose modes a GAN may miss."""

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from jsonargparse.typing import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from datamodules.loading.in_memory import InMemory
from datamodules.loading.joined import Rows
from datamodules.loading.loader import keyed_generator


class Mixture(InMemory):
    """Points of equally likely round normal distributions, the modes, in the plane.

    A subclass says where the modes are (`centers`). A batch is (inputs (batch, 2), targets
    (batch,)): points in the type of the network's weights, and the number of each one's mode. The
    splits are drawn independently of each other.

    Args:
        std: standard deviation of each mode along each axis
        samples: points to train on
        val_samples: points for validation
        test_samples: points for testing
        batch_size: points per batch, on each process
        data_seed: of the points
        seed: of the order of training points

    Raises:
        ValueError: if `std` is infinite, or lost in the rounding of points so far out
    """

    input_shape: ClassVar[tuple[int, ...]] = (2,)

    def __init__(
        self,
        std: PositiveFloat,
        samples: PositiveInt = 100_000,
        val_samples: PositiveInt = 2500,
        test_samples: PositiveInt = 2500,
        batch_size: PositiveInt = 256,
        data_seed: NonNegativeInt = 0,
        seed: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        self.std, self.data_seed = std, data_seed
        self.sizes = {"train": samples, "val": val_samples, "test": test_samples}
        self.centers = self.place().float()
        farthest = self.centers.norm(dim=1).max().item()
        if not torch.finfo(torch.float32).eps * farthest < std < math.inf:
            raise ValueError(f"--data.std={std} does not fit modes {farthest:g} from the origin")

    @abstractmethod
    def place(self) -> Tensor:
        """The modes' centres, (modes, 2)."""

    @property
    def modes(self) -> int:
        """How many there are."""
        return len(self.centers)

    @property
    def class_count(self) -> int:
        """The modes, as the targets are their numbers."""
        return self.modes

    def draw(self, count: int, *key: int) -> Rows:
        """`count` points and their modes' numbers, a pure function of `data_seed` and the key."""
        generator = keyed_generator(self.data_seed, *key)
        targets = torch.randint(self.modes, (count,), generator=generator)
        noise = torch.randn(count, 2, generator=generator)
        return Rows(self.centers[targets] + self.std * noise, targets)

    def setup(self, stage: str) -> None:
        if not self.tables:
            self.tables = {
                split: self.draw(size, key) for key, (split, size) in enumerate(self.sizes.items())
            }


class Ring(Mixture):
    """Modes at equal distances on a circle around the origin, the first at (radius, 0).

    By default the ring of Lin et al., "PacGAN: The power of two samples in generative adversarial
    networks" (2018), section 4.1, https://arxiv.org/abs/1712.04086.

    Args:
        modes: how many there are
        radius: of the circle
        std: standard deviation of each mode along each axis
        samples: points to train on
        val_samples: points for validation
        test_samples: points for testing
        batch_size: points per batch, on each process
        data_seed: of the points
        seed: of the order of training points

    Raises:
        ValueError: if `std` is infinite, or lost in the rounding of points so far out
    """

    def __init__(
        self,
        modes: PositiveInt = 8,
        radius: PositiveFloat = 1.0,
        std: PositiveFloat = 0.01,
        samples: PositiveInt = 100_000,
        val_samples: PositiveInt = 2500,
        test_samples: PositiveInt = 2500,
        batch_size: PositiveInt = 256,
        data_seed: NonNegativeInt = 0,
        seed: NonNegativeInt = 0,
    ) -> None:
        self.count, self.radius = modes, radius
        super().__init__(std, samples, val_samples, test_samples, batch_size, data_seed, seed)

    def place(self) -> Tensor:
        angles = torch.arange(self.count, dtype=torch.float64) * (2 * math.pi / self.count)
        return self.radius * torch.stack([angles.cos(), angles.sin()], 1)


class Grid(Mixture):
    """Modes on a square grid around the origin, size x size of them, column by column.

    By default the grid of 25 of Lin et al., "PacGAN: The power of two samples in generative
    adversarial networks" (2018), section 4.1, https://arxiv.org/abs/1712.04086: both coordinates
    are one of -4, -2, 0, 2, 4.

    Args:
        size: modes along each axis
        spacing: between neighbours
        std: standard deviation of each mode along each axis
        samples: points to train on
        val_samples: points for validation
        test_samples: points for testing
        batch_size: points per batch, on each process
        data_seed: of the points
        seed: of the order of training points

    Raises:
        ValueError: if `std` is infinite, or lost in the rounding of points so far out
    """

    def __init__(
        self,
        size: PositiveInt = 5,
        spacing: PositiveFloat = 2.0,
        std: PositiveFloat = 0.05,
        samples: PositiveInt = 100_000,
        val_samples: PositiveInt = 2500,
        test_samples: PositiveInt = 2500,
        batch_size: PositiveInt = 256,
        data_seed: NonNegativeInt = 0,
        seed: NonNegativeInt = 0,
    ) -> None:
        self.size, self.spacing = size, spacing
        super().__init__(std, samples, val_samples, test_samples, batch_size, data_seed, seed)

    def place(self) -> Tensor:
        steps = torch.arange(self.size, dtype=torch.float64) - (self.size - 1) / 2
        return self.spacing * torch.cartesian_prod(steps, steps)
