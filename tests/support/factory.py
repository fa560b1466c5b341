"""A user's own code, as a config names it."""

from torch import nn

from recipes.parts.networks import MLP


def small(width: int = 4) -> nn.Module:
    """A network for the digits."""
    return MLP(64, [width])
