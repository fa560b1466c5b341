"""Examples as the discriminator sees them: several at a time, in shares."""

from typing import NamedTuple

from torch import Tensor


def packed(inputs: Tensor, pack: int) -> Tensor:
    """Stacks several examples along the channels: PacGAN (Lin et al. 2018), section 2.

    Args:
        inputs: (batch, channels, height, width), or points (batch, 2)
        pack: examples in a pack; 1: nothing is stacked

    Returns:
        packs, (batch / pack, pack * channels, height, width), or (batch / pack, pack * 2)
    """
    return inputs.unflatten(0, (-1, pack)).flatten(1, 2)


class Share(NamedTuple):
    """The part of a batch that one update of the discriminator sees."""

    real: Tensor  # packs (share / pack, ...), images in [-1, 1]
    labels: Tensor | None  # (share,), if the networks are conditional
    latents: Tensor  # (share, latent)


def shared_out(packs: Tensor, labels: Tensor | None, latents: Tensor, count: int) -> list[Share]:
    """Divides a batch into equal shares.

    Args:
        packs: of real examples, (batch / pack, ...)
        labels: (batch,), if the networks are conditional
        latents: (batch, latent)
        count: of shares; it divides the number of packs
    """
    given = [None] * count if labels is None else labels.chunk(count)
    columns = packs.chunk(count), given, latents.chunk(count)
    return [Share(*row) for row in zip(*columns, strict=True)]
