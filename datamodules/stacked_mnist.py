"""Three digits of MNIST as the colours of one image: 1,000 modes that a GAN may miss."""

import os
from pathlib import Path
from typing import ClassVar

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from datamodules.loading.in_memory import InMemory
from datamodules.loading.loader import Table, keyed_generator
from datamodules.mnist import MNIST


class StackTable(Table):
    """Stacks of three grey images each, kept as row numbers and gathered a whole batch at a time.

    Args:
        images: (rows, height, width), uint8
        labels: (rows,), digits from 0 to 9
        stacks: the rows of each stack's channels, (stacks, 3)
    """

    def __init__(self, images: Tensor, labels: Tensor, stacks: Tensor) -> None:
        self.images, self.stacks = images, stacks
        self.targets = labels[stacks] @ torch.tensor([100, 10, 1])

    def __len__(self) -> int:
        return len(self.targets)

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Images (batch, 3, height, width) and numbers from 0 to 999 (batch,)."""
        channels = self.images.index_select(0, self.stacks.index_select(0, rows).flatten())
        return channels.unflatten(0, (-1, 3)), self.targets.index_select(0, rows)


class StackedMNIST(InMemory):
    """Stacked MNIST: three random digits as red, green and blue; the number they read is the mode.

    Metz et al., "Unrolled Generative Adversarial Networks" (2017), https://arxiv.org/abs/1611.02163;
    sizes as Lin et al., "PacGAN: The power of two samples in generative adversarial networks"
    (2018), section 4.2, https://arxiv.org/abs/1712.04086. A batch is (inputs (batch, 3, 28, 28),
    from 0 to 1, targets (batch,)): the red digit is the target's hundreds, the blue one its ones.

    The three images of a stack are drawn independently, from those that `MNIST` with the same
    `val_size` and `split_seed` has in the same split: no image is in two splits, and a classifier
    trained there has seen none of the images for validation and testing.

    Args:
        data_dir: folder of MNIST's four .gz files; a file that is not there is downloaded to it; by
            default data/mnist
        samples: stacks to train on
        val_samples: stacks for validation
        test_samples: stacks for testing
        pad: black pixels added on each side; 2 for images of 32x32
        batch_size: stacks per batch, on each process
        val_size: images taken out of MNIST's training set for validation
        split_seed: decides which images are for validation
        data_seed: decides which images are stacked
        seed: of the order of training stacks
    """

    modes: ClassVar[int] = 1000
    class_count = modes

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        samples: PositiveInt = 128_000,
        val_samples: PositiveInt = 10_000,
        test_samples: PositiveInt = 26_000,
        pad: NonNegativeInt = 0,
        batch_size: PositiveInt = 128,
        val_size: PositiveInt = 10_000,
        split_seed: NonNegativeInt = 0,
        data_seed: NonNegativeInt = 0,
        seed: NonNegativeInt = 0,
    ) -> None:
        data_dir = str(
            Path(data_dir or MNIST.folder).expanduser()
        )  # a plain value, as checkpoints hold them
        super().__init__(batch_size, seed)
        self.data_dir = Path(data_dir)
        self.val_size, self.split_seed = val_size, split_seed
        self.sizes = {"train": samples, "val": val_samples, "test": test_samples}
        self.pad, self.data_seed = pad, data_seed

    def digits(self) -> MNIST:
        """The images that are stacked, and their splits."""
        return MNIST(self.data_dir, val_size=self.val_size, split_seed=self.split_seed)

    def prepare_data(self) -> None:
        self.digits().prepare_data()

    def setup(self, stage: str) -> None:
        if self.tables:
            return
        digits = self.digits()
        digits.setup(stage)
        for key, (split, size) in enumerate(self.sizes.items()):
            table = digits.tables[split]
            generator = keyed_generator(self.data_seed, key)
            stacks = torch.randint(len(table), (size, 3), generator=generator)
            images = F.pad(table.images, (self.pad,) * 4)
            self.tables[split] = StackTable(images, table.labels, stacks)
        self.input_shape = (3, *images.shape[1:])

    def scale(self, inputs: Tensor) -> Tensor:
        """From bytes to 0 to 1, in the type of the network's weights."""
        return super().scale(inputs).div_(MNIST.white)
