"""What `predict --count` and `--interpolate` draw in place of data: the latents of examples."""

from typing import Any

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor

from datamodules.loading.data_module import DataModule
from datamodules.loading.fitted import Fitted
from datamodules.loading.loader import Loader, data_rank, keyed_generator
from datamodules.loading.numbers import Numbers
from datamodules.loading.splits import AtLeastTwo

BLOCK = 64  # latents that are drawn at a time, so that each depends on its number alone
ROWS = 8  # of interpolations, where it is not said how many
PREDICTION, INTERPOLATION = 2, 4  # the first number in the key of their latents


def slerp(one: Tensor, other: Tensor, shares: Tensor) -> Tensor:
    """Spherical interpolation, which keeps the length that normal latents have.

    White, "Sampling Generative Networks" (2016), section 2.1, https://arxiv.org/abs/1609.04468

    Args:
        one: latents (n, latent)
        other: latents (n, latent)
        shares: from 0, which gives `one`, to 1, which gives `other`, (n,)
    """
    cosine = torch.nn.functional.cosine_similarity(one, other).clamp(-1, 1).unsqueeze(1)
    angle, shares = torch.arccos(cosine), shares.unsqueeze(1).to(one.dtype)
    weights = (torch.sin(part * angle) / torch.sin(angle) for part in (1 - shares, shares))
    mixed = sum(weight * end for weight, end in zip(weights, (one, other), strict=True))
    return torch.where(torch.sin(angle).abs() > 1e-6, mixed, torch.lerp(one, other, shares))


class Drawn(DataModule):
    """Examples that are drawn, in place of data: `predict` needs no file of the fit.

    Args:
        count: of examples, or of interpolations
        steps: from one latent to another in each interpolation; None: none

    Attributes:
        output_name: of the file that samples are written to, if they are rows
        fitted: what the fit has learned of its table, once that is known
    """

    output_name = "samples.csv"

    def __init__(self, count: PositiveInt | None, steps: AtLeastTwo | None = None) -> None:
        super().__init__()
        self.steps = steps
        self.fitted: Fitted | None = None
        self.count = (count or ROWS) * steps if steps else count

    def remember(self, checkpoint: dict[str, Any]) -> None:
        """Takes what the fit has learned of its table, if it was one, to write samples as that has.

        Args:
            checkpoint: of the fit
        """
        states = [state for state in checkpoint.values() if isinstance(state, dict)]
        of_tables = [state for state in states if {"schema", "encoding", "scale"} <= state.keys()]
        self.fitted = Fitted.of(of_tables[0]) if of_tables else None

    def written(self, samples: Tensor) -> dict[str, list[float | str]] | None:
        """Samples (rows, features) as cells of the fit's table; None if there is none."""
        if self.fitted is None or samples.ndim != 2:
            return None
        return self.fitted.written(samples)

    def predict_dataloader(self) -> Loader:
        """Batches of numbers, (batch,) each."""
        rank, world_size = data_rank(self.trainer)
        return Loader(Numbers(self.count), BLOCK, rank=rank, world_size=world_size)

    def latents(
        self, numbers: Tensor, latent: int, classes: int | None, seed: int
    ) -> tuple[Tensor, Tensor | None]:
        """The latents (batch, latent) of some examples, and with classes labels (batch,) in turn.

        Args:
            numbers: of the examples, (batch,)
            latent: values in a latent
            classes: number of labels; an interpolation has one
            seed: of the latents, which are a pure function of it and the number
        """

        def drawn(first: int, wanted: Tensor) -> Tensor:
            blocks = {
                block: torch.randn(BLOCK, latent, generator=keyed_generator(first, seed, block))
                for block in (wanted // BLOCK).unique().tolist()
            }
            return torch.stack([blocks[n // BLOCK][n % BLOCK] for n in wanted.tolist()])

        if self.steps is None:
            rows, found = numbers, drawn(PREDICTION, numbers)
        else:
            rows, step = numbers // self.steps, numbers % self.steps
            ends = drawn(INTERPOLATION, 2 * rows), drawn(INTERPOLATION, 2 * rows + 1)
            found = slerp(*ends, step / (self.steps - 1))
        return found, rows % classes if classes else None
