"""What works unchanged around any recipe and any LightningModule: one class per file."""

from callbacks.changed_settings import ChangedSettings
from callbacks.curves import Curves
from callbacks.export import Export
from callbacks.finite_loss import FiniteLoss
from callbacks.hyperparameter_schedule import HyperparameterSchedule
from callbacks.keyed_noise import KeyedNoise
from callbacks.lr_decay import LRDecay
from callbacks.max_norm import MaxNorm
from callbacks.threads import Threads
from callbacks.write_predictions import WritePredictions

__all__ = [
    "ChangedSettings",
    "Curves",
    "Export",
    "FiniteLoss",
    "HyperparameterSchedule",
    "KeyedNoise",
    "LRDecay",
    "MaxNorm",
    "Threads",
    "WritePredictions",
]
