"""What an optimizer really does, measured: the callback, and what only it needs."""

from callbacks.optimizer_stats.stats import OptimizerStats

__all__ = ["OptimizerStats"]
