"""What works unchanged around any recipe and any LightningModule: one class per file."""

from callbacks.curves import Curves
from callbacks.export import Export
from callbacks.keyed_noise import KeyedNoise
from callbacks.lr_decay import LRDecay
from callbacks.max_norm import MaxNorm
from callbacks.write_predictions import WritePredictions

__all__ = ["Curves", "Export", "KeyedNoise", "LRDecay", "MaxNorm", "WritePredictions"]
