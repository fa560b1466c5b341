"""What works unchanged around any recipe and any LightningModule: one class per file."""

from callbacks.activation_checkpointing import ActivationCheckpointing
from callbacks.changed_settings import ChangedSettings
from callbacks.channels_last import ChannelsLast
from callbacks.class_report import ClassReport
from callbacks.compiled import Compile
from callbacks.curves import Curves
from callbacks.ema import EMA
from callbacks.export import Export
from callbacks.fake_quantize import FakeQuantize
from callbacks.finite_loss import FiniteLoss
from callbacks.gradient_clip import GradientClip
from callbacks.hyperparameter_schedule import HyperparameterSchedule
from callbacks.keyed_noise import KeyedNoise
from callbacks.l1 import L1
from callbacks.loss_driven_lr import LossDrivenLR
from callbacks.lr_decay import LRDecay
from callbacks.matmul_precision import MatmulPrecision
from callbacks.max_norm import MaxNorm
from callbacks.optimizer_stats import OptimizerStats
from callbacks.prune import Prune
from callbacks.requeue import Requeue
from callbacks.threads import Threads
from callbacks.throughput import Throughput
from callbacks.totals import Totals
from callbacks.unfreeze import Unfreeze
from callbacks.worst_mistakes import WorstMistakes
from callbacks.write_predictions import WritePredictions

__all__ = [
    "EMA",
    "L1",
    "ActivationCheckpointing",
    "ChangedSettings",
    "ChannelsLast",
    "ClassReport",
    "Compile",
    "Curves",
    "Export",
    "FakeQuantize",
    "FiniteLoss",
    "GradientClip",
    "HyperparameterSchedule",
    "KeyedNoise",
    "LRDecay",
    "LossDrivenLR",
    "MatmulPrecision",
    "MaxNorm",
    "OptimizerStats",
    "Prune",
    "Requeue",
    "Threads",
    "Throughput",
    "Totals",
    "Unfreeze",
    "WorstMistakes",
    "WritePredictions",
]
