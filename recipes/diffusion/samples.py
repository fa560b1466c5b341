"""What `predict` draws: a sample for each example of the data, or those that `--count` asks for."""

from lightning.pytorch import LightningModule
from torch import Tensor

from datamodules.drawn import slerp
from recipes.diffusion.keys import INTERPOLATION, PREDICTION, START
from recipes.parts.noise import places


def predict(
    diffusion: LightningModule, batch: tuple[Tensor, ...], batch_idx: int
) -> dict[str, Tensor]:
    """Samples, and with classes their labels.

    Args:
        diffusion: of which `drawn` says what is asked for
        batch: of data; or numbers of samples
        batch_idx: its number
    """
    if diffusion.drawn is None:
        rows = places(diffusion.trainer, "predict", batch_idx, len(batch[0]))
    else:
        rows = batch[0].cpu()
    steps, start = diffusion.drawn and diffusion.drawn.steps, None
    if steps:
        rows, step = rows // steps, rows % steps
        pairs = (diffusion.noise(2 * rows + k, INTERPOLATION) for k in (0, 1))
        ends = (pair.normal(diffusion.shape, START).flatten(1) for pair in pairs)
        shares = (step / (steps - 1)).to(diffusion.device)
        start = slerp(*ends, shares).unflatten(1, diffusion.shape)
    labels = diffusion.in_turn(rows)
    samples = {"sample": diffusion.sample(diffusion.noise(rows, PREDICTION), labels, start)}
    return samples if labels is None else samples | {"label": labels}
