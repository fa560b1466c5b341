"""Where examples come from: one LightningDataModule per data set, on one shared loader."""

from datamodules.diabetes import Diabetes
from datamodules.digits import Digits
from datamodules.images import Images
from datamodules.mnist import MNIST, FashionMNIST
from datamodules.tabular import TabularData

__all__ = ["MNIST", "Diabetes", "Digits", "FashionMNIST", "Images", "TabularData"]
