"""How good samples are, without a download: modes of mixtures, and features of our classifiers."""

from recipes.gan.evaluation.base import Evaluation
from recipes.gan.evaluation.images import ImageQuality
from recipes.gan.evaluation.mixture import MixtureQuality
from recipes.gan.evaluation.stacked import StackedModes

__all__ = ["Evaluation", "ImageQuality", "MixtureQuality", "StackedModes"]
