"""The callback that draws samples while a GAN trains, always from the same latents."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jsonargparse.typing import PositiveInt
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from callbacks.at_end import AtEnd
from callbacks.ema import EMA, averaged, shard_again
from callbacks.lengths import Length, batches, check_steps
from recipes.parts.files import replacing
from recipes.parts.pictures import save_grid, scatter

IMAGES, POINTS = 64, 2500  # in a picture
PICTURES = 3  # the key of the latents that pictures are drawn from


@contextmanager
def own_noise() -> Iterator[None]:
    """Within it, random numbers are always the same; afterwards training's continue as before."""
    with isolate_rng():
        torch.manual_seed(PICTURES)
        yield


def real_examples(data: LightningDataModule, module: LightningModule, count: int) -> Tensor:
    """The first examples for validation, or for training if there are none.

    They come from a new loader: at most `count` of them, and of images only the first batch.
    """
    loader = data.val_dataloader()
    found: list[Tensor] = []
    for batch in data.train_dataloader() if loader == [] else loader:
        batch = data.transfer_batch_to_device(batch, module.device, 0)
        found.append(data.on_after_batch_transfer(batch, 0)[0].cpu())
        if found[0].ndim > 2 or sum(map(len, found)) >= count:
            break
    return torch.cat(found)[:count]


class Samples(AtEnd):
    """Draws what a GAN generates to `<run folder>/samples/`, always from the same latents.

    After every so many batches, and when training ends: `0002000.png` by the weights after 2,000
    batches, and `0002000-ema.png` by their average if there is an `EMA`; the last of these also as
    `<run folder>/samples.png`. Images are a grid, in which a column is a class if the GAN is
    conditional; points are drawn over real ones. W&B has them as `samples/raw` and `samples/ema`,
    at the step of the last of those batches. It leaves training as it is, bit by bit.

    ```yaml
    - class_path: Samples
      init_args: {every: 10%}
    ```

    Args:
        every: length between two pictures: batches, or in units: 1000ba (batches), 5ep (epochs),
            10% (of the run); 0: only when training ends
        count: of examples in a picture; by default 64 images, or more to fill the last row, and
            2,500 points
        columns: images in a row; by default one for each class, up to 20, or 8

    Raises:
        ValueError: if examples are neither points of the plane nor grey or RGB images
    """

    def __init__(
        self,
        every: Length = "1ep",
        count: PositiveInt | None = None,
        columns: PositiveInt | None = None,
    ) -> None:
        self.every, self.count, self.columns = every, count, columns
        self.step = 0
        self.real: Tensor | None = None  # examples, as soon as they are known

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step = state_dict["step"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.interval = batches(self.every, trainer)
        self._prepare(trainer, pl_module)

    def _prepare(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.datamodule is None:
            raise ValueError("Samples looks at the real examples of a datamodule: there is none")
        with own_noise():
            self.real = real_examples(trainer.datamodule, pl_module, self.count or POINTS)
        shape = tuple(self.real.shape[1:])
        self.are_points = shape == (2,)
        if not self.are_points and (len(shape) != 3 or shape[0] not in (1, 3)):
            raise ValueError(
                f"--trainer.callbacks: Samples draws points, grey and RGB images, not {shape}"
            )
        classes = pl_module.classes
        self.width = self.columns or (classes if classes and classes <= 20 else 8)
        default = POINTS if self.are_points else math.ceil(IMAGES / self.width) * self.width
        self.total = self.count or default

    # At the start of the next batch, as EMA may take the last one's weights after this callback.
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        if self.interval and self.step and self.step % self.interval == 0:
            self._draw(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        self.step += 1
        check_steps(trainer, self.every)

    def at_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.real is None:  # resumed where nothing was left to train
            self._prepare(trainer, pl_module)
        path = self._draw(trainer, pl_module)
        if path is not None:
            with replacing(path.parent.with_name("samples.png")) as partial:
                partial.write_bytes(path.read_bytes())

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> Path | None:
        """Writes the pictures; returns the path of the last, in the process that writes."""
        if trainer.fast_dev_run:
            return None
        # All processes sample, as each may hold a shard of the weights.
        found = {"raw": self._sample(pl_module)}
        shard_again(pl_module)
        if any(isinstance(callback, EMA) for callback in trainer.callbacks):
            with averaged(trainer, pl_module):
                found["ema"] = self._sample(pl_module)
        if not trainer.is_global_zero:
            return None
        for kind, samples in found.items():
            path = self._write(Path(trainer.default_root_dir) / "samples", kind, samples)
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    # Lightning counts a row's step from 0.
                    logger.log_image(f"samples/{kind}", [str(path)], trainer.global_step - 1)
        return path

    def _sample(self, pl_module: LightningModule) -> Tensor:
        with own_noise():
            return pl_module.sample(*pl_module.draw(self.total, PICTURES))

    def _write(self, folder: Path, kind: str, samples: Tensor) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.step:07d}{'-ema' if kind == 'ema' else ''}.png"
        if self.are_points:
            weights = ", averaged weights" if kind == "ema" else ""
            scatter(samples, self.real, path, f"after {self.step:,} batches{weights}")
        else:
            save_grid(samples, self.width, path)
        return path
