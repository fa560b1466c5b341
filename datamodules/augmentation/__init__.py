"""Random changes of training pictures, whole batches at a time, keyed by (seed, epoch, picture)."""

from datamodules.augmentation.colour import ColorJitter
from datamodules.augmentation.geometry import Flip, RandomResizedCrop, Shift
from datamodules.augmentation.mixing import CutMix, MixUp
from datamodules.augmentation.trivial import TrivialAugment

__all__ = [
    "ColorJitter",
    "CutMix",
    "Flip",
    "MixUp",
    "RandomResizedCrop",
    "Shift",
    "TrivialAugment",
]
