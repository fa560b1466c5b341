"""How good samples are, without a download: modes of mixtures, and features of our classifiers."""

from recipes.parts.evaluation.base import Evaluation
from recipes.parts.evaluation.images import ImageQuality
from recipes.parts.evaluation.mixture import MixtureQuality
from recipes.parts.evaluation.stacked import StackedModes

__all__ = ["Evaluation", "ImageQuality", "MixtureQuality", "StackedModes"]
