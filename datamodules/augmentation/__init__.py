"""Random changes of training pictures, whole batches at a time, keyed by (seed, epoch, picture)."""

from datamodules.augmentation.changes import Augmentation
from datamodules.augmentation.colour import ColorJitter
from datamodules.augmentation.geometry import Flip, RandomResizedCrop, Shift
from datamodules.augmentation.mixing import CutMix, Mix, Mixed, MixUp
from datamodules.augmentation.trivial import TrivialAugment

__all__ = [
    "Augmentation",
    "ColorJitter",
    "CutMix",
    "Flip",
    "Mix",
    "MixUp",
    "Mixed",
    "RandomResizedCrop",
    "Shift",
    "TrivialAugment",
]
