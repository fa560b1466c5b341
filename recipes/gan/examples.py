"""Examples as the networks are shown them."""

from typing import NamedTuple

from torch import Tensor


def centred(inputs: Tensor) -> Tensor:
    """Images from the data's [0, 1] to [-1, 1], in which the game is played; points as they are."""
    return inputs * 2 - 1 if inputs.ndim == 4 else inputs


def uncentred(outputs: Tensor) -> Tensor:
    """The inverse of `centred`, within [0, 1]."""
    return ((outputs + 1) / 2).clamp(0, 1) if outputs.ndim == 4 else outputs


def packed(inputs: Tensor, pack: int) -> Tensor:
    """Several examples as one, along the channels: PacGAN (Lin et al. 2018), section 2.

    Args:
        inputs: (batch, channels, height, width), or points (batch, 2)
        pack: examples in one

    Returns:
        (batch / pack, pack * channels, height, width), or (batch / pack, pack * 2)
    """
    return inputs.unflatten(0, (-1, pack)).flatten(1, 2)


class Share(NamedTuple):
    """What one update sees of one batch."""

    real: Tensor  # (share, ...), images in [-1, 1]
    labels: Tensor | None  # (share,), if the networks are conditional
    latents: Tensor  # (share, latent)
