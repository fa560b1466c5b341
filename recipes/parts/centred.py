"""Images as generative networks see them, from -1 to 1."""

from torch import Tensor


def centred(inputs: Tensor) -> Tensor:
    """Maps images from the data's [0, 1] to the networks' [-1, 1]; points stay as they are."""
    return inputs * 2 - 1 if inputs.ndim == 4 else inputs


def uncentred(outputs: Tensor) -> Tensor:
    """The inverse of `centred`, clamped to [0, 1]."""
    return ((outputs + 1) / 2).clamp(0, 1) if outputs.ndim == 4 else outputs
