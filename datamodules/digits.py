"""Scikit-learn's bundled handwritten digits: real data without a download."""

import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.images import Images
from datamodules.loading.loader import keyed_generator


class Digits(Images):
    """1,797 handwritten digits of 8x8 pixels and 17 grey levels, bundled with scikit-learn.

    Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits" (1998),
    https://archive.ics.uci.edu/dataset/80. The set has no test split of its own here, so
    `test_size` images are set apart first, then `val_size`.

    Args:
        batch_size: images per batch, on each process
        val_size: images taken out of the training set for validation
        test_size: images set apart for testing
        shift: largest random shift of a training image along each axis, pixels
        classes: the classes kept in the training set, all if not given; val and test keep all
        labelled: training images that keep their label, as many of each class; by default all
        split_seed: decides which images are for validation and testing
        seed: of the order and the shifts of training images
        only: the classes that there are at all, also in val and test; by default all
        per_class: training images of each class that are kept; by default all
    """

    white = 16.0
    class_count = 10

    def __init__(
        self,
        batch_size: PositiveInt = 64,
        val_size: PositiveInt = 360,
        test_size: PositiveInt = 360,
        shift: NonNegativeInt = 0,
        classes: list[NonNegativeInt] | None = None,
        labelled: PositiveInt | None = None,
        split_seed: NonNegativeInt = 0,
        seed: NonNegativeInt = 0,
        only: list[NonNegativeInt] | None = None,
        per_class: PositiveInt | None = None,
    ) -> None:
        given = (batch_size, val_size, shift, classes, labelled, split_seed, seed)
        super().__init__(*given, only, per_class)
        self.test_size = test_size

    def load(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        from sklearn.datasets import load_digits  # half a second

        digits = load_digits()
        images = torch.from_numpy(digits.images).to(torch.uint8)
        labels = torch.from_numpy(digits.target).long()
        if self.test_size >= len(labels):
            raise ValueError(f"--data.test_size={self.test_size} of {len(labels)} images")
        order = torch.randperm(len(labels), generator=keyed_generator(self.split_seed, 1))
        test, train = order[: self.test_size], order[self.test_size :]
        return (images[train], labels[train]), (images[test], labels[test])
