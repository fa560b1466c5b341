"""The callback that writes what `predict --count` and `--interpolate` draw as pictures."""

import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from callbacks.write_predictions import WritePredictions
from datamodules.drawn import Drawn
from recipes.parts.files import partial_of, writing
from recipes.parts.pictures import save_grid, save_picture


class WritePictures(Callback):
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

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.data.remember(checkpoint)

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
