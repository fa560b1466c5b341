"""Where examples come from: one LightningDataModule per data set, on one shared loader."""

from datamodules.digits import Digits
from datamodules.images import Images
from datamodules.mnist import MNIST, FashionMNIST

__all__ = ["MNIST", "Digits", "FashionMNIST", "Images"]
