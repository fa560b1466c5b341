"""Where examples come from: one LightningDataModule per data set, on one shared loader."""

from datamodules.california import California
from datamodules.diabetes import Diabetes
from datamodules.digits import Digits
from datamodules.generated import Friedman, Linear
from datamodules.images import Images
from datamodules.mnist import MNIST, FashionMNIST
from datamodules.own import Tabular
from datamodules.quadratic import Quadratic
from datamodules.tabular import TabularData
from datamodules.textbook import Textbook
from datamodules.uci import UCI

__all__ = [
    "MNIST",
    "UCI",
    "California",
    "Diabetes",
    "Digits",
    "FashionMNIST",
    "Friedman",
    "Images",
    "Linear",
    "Quadratic",
    "Tabular",
    "TabularData",
    "Textbook",
]
