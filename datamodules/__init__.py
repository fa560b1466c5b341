"""Where examples come from: one LightningDataModule per data set, on one shared loader."""

from datamodules import control  # noqa: F401 - known by their short names
from datamodules.california import California
from datamodules.cifar import CIFAR10, CIFAR100
from datamodules.diabetes import Diabetes
from datamodules.digits import Digits
from datamodules.generated import Friedman, Linear
from datamodules.hugging_face import HuggingFace
from datamodules.image_folder import ImageFolder
from datamodules.images import Images
from datamodules.iris import Iris
from datamodules.mixtures import Grid, Mixture, Ring
from datamodules.mnist import MNIST, FashionMNIST
from datamodules.own import Tabular
from datamodules.penn_treebank import PennTreebank
from datamodules.picture_data import PictureData
from datamodules.quadratic import Quadratic
from datamodules.sentences import Sentences
from datamodules.stacked_mnist import StackedMNIST
from datamodules.tabular import TabularData
from datamodules.text import Text
from datamodules.text_data import TextData
from datamodules.textbook import Textbook
from datamodules.tiny_shakespeare import TinyShakespeare
from datamodules.uci import UCI

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "UCI",
    "California",
    "Diabetes",
    "Digits",
    "FashionMNIST",
    "Friedman",
    "Grid",
    "HuggingFace",
    "ImageFolder",
    "Images",
    "Iris",
    "Linear",
    "Mixture",
    "PennTreebank",
    "PictureData",
    "Quadratic",
    "Ring",
    "Sentences",
    "StackedMNIST",
    "Tabular",
    "TabularData",
    "Text",
    "TextData",
    "Textbook",
    "TinyShakespeare",
]
