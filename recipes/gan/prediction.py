"""What `predict --count` and `--interpolate` draw: examples from latents, and their pictures."""

import shutil
from pathlib import Path

import torch
from jsonargparse.typing import PositiveInt
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from callbacks import WritePredictions
from datamodules.loading.data_module import DataModule
from datamodules.loading.loader import Loader, data_rank, keyed_generator
from datamodules.loading.numbers import Numbers
from datamodules.loading.splits import AtLeastTwo
from recipes.parts.files import partial_of, writing
from recipes.parts.pictures import save_grid, save_picture

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
    """

    def __init__(self, count: PositiveInt | None, steps: AtLeastTwo | None = None) -> None:
        super().__init__()
        self.steps = steps
        self.count = (count or ROWS) * steps if steps else count

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


class Pictures(Callback):
    """Writes drawn images as PNG files: each one to `generated/`, or a grid `interpolation.png`.

    They are in the run's folder, or beside the table where `--output` names one. Older ones are
    replaced when all are written.

    Args:
        data: what is drawn
    """

    def __init__(self, data: Drawn) -> None:
        self.data, self.kept = data, []
        self.folder: Path | None = None
        self.written = 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        tables = [c.path for c in trainer.callbacks if isinstance(c, WritePredictions) and c.path]
        beside = tables[0].expanduser().parent if tables else Path(trainer.default_root_dir)
        self.folder = None if trainer.fast_dev_run else beside / "generated"
        self.partial = partial_of(beside / "generated")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Tensor],
        *args: object,
    ) -> None:
        samples = outputs["sample"]
        is_image = samples.ndim == 4 and samples.shape[1] in (1, 3)
        if self.data.steps:
            if not is_image:
                shape = tuple(samples.shape[1:])
                raise ValueError(f"--interpolate draws grey or RGB images: these are {shape}")
            self.kept.append(samples.cpu())
        elif self.folder is not None and is_image:
            self._write(samples)

    def _write(self, samples: Tensor) -> None:
        digits = len(str(self.data.count - 1))
        with writing(self.folder):
            self.partial.mkdir(exist_ok=True)
            for pixels in samples.cpu():
                path = self.partial / f"{self.written:0{digits}}.png"
                save_picture(pixels, path)
                self.written += 1

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.folder is None:
            return
        if self.kept:
            path = self.folder.with_name("interpolation.png")
            save_grid(torch.cat(self.kept), self.data.steps, path)
            rank_zero_info(f"picture: {path}")
        elif self.written:
            self._replace()
            rank_zero_info(f"pictures: {self.written} in {self.folder}")

    def _replace(self) -> None:
        """Puts the new pictures in the place of older ones; other files there stay."""
        self.folder.mkdir(exist_ok=True)
        for path in self.folder.glob("*.png"):
            if path.stem.isdigit():
                path.unlink()
        for path in self.partial.iterdir():
            path.rename(self.folder / path.name)
        self.partial.rmdir()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if self.folder is not None:
            shutil.rmtree(self.partial, ignore_errors=True)
