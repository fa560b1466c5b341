"""Gradual unfreezing: the callback, and what only it needs."""

from callbacks.unfreeze.unfreeze import Unfreeze, held_for_good

__all__ = ["Unfreeze", "held_for_good"]
