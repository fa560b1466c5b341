"""Gradual unfreezing: the callback, and what only it needs."""

from callbacks.unfreeze.unfreeze import Unfreeze

__all__ = ["Unfreeze"]
