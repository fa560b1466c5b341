"""What a GAN does outside training: the evaluation of its samples, and those of `predict`."""

from lightning.pytorch import LightningModule
from torch import Tensor

from datamodules.drawn import PREDICTION
from recipes.gan.examples import packed
from recipes.gan.step import criticize
from recipes.parts.centred import centred
from recipes.parts.logs import log_means, split_of
from recipes.parts.noise import global_seed

EVALUATION = 1  # the first number in the key of its latents; PREDICTION is that of predict's


def evaluate(gan: LightningModule, batch: tuple[Tensor, ...], batch_idx: int) -> None:
    """Logs the losses of a batch of validation or test data, and shows it to the evaluation."""
    real, labels = gan.inputs(batch)
    latents, _ = gan.draw(len(real), EVALUATION, batch_idx, gan.global_rank)
    samples = gan.sample(latents, labels)
    fake, usable = centred(samples).to(real.dtype), len(real) // gan.pack * gan.pack
    packs = [packed(examples[:usable], gan.pack) for examples in (real, fake)]
    scores = [criticize(gan, shown, labels) for shown in packs]
    losses = gan.loss.discriminator(*scores) + gan.loss.generator(*scores)
    log_means(gan, {f"{split_of(gan.trainer)}/loss": losses}, usable)
    if gan.evaluation is not None:
        gan.evaluation.update(samples, batch[0], batch[1])


def predict(gan: LightningModule, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
    """As many samples as there are examples in a batch, or those that `--count` asks for."""
    if gan.drawn is None:
        latents, labels = gan.draw(len(batch[0]), PREDICTION, global_seed(), batch_idx)
    else:
        numbers = batch[0].cpu()
        latents, labels = gan.drawn.latents(numbers, gan.latent, gan.classes, global_seed())
        latents = latents.to(gan.device, gan.dtype)
    samples = {"sample": gan.sample(latents, labels)}
    return samples if labels is None else samples | {"label": labels}
