"""Samples as pictures: a grid of images, or points beside the real ones."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse.typing import PositiveInt
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.seed import isolate_rng
from matplotlib.figure import Figure
from matplotlib.image import imsave
from torch import Tensor
from torch.nn import functional

from callbacks.ema import EMA, averaged, shard_again
from callbacks.lengths import Length, batches, check_steps
from recipes.parts.files import replacing

WIDTH = 500  # of a picture, about, pixels
GAP = 2  # between images, pixels
BACKGROUND = 128  # of 255
IMAGES, POINTS = 64, 2500  # in a picture
PICTURES = 3  # the key of the latents that pictures are drawn from


def grid(images: Tensor, columns: int) -> np.ndarray:
    """Images in rows, from left to right, with a thin grey gap, each pixel a square of pixels.

    Args:
        images: (n, channels, height, width) in [0, 1]; grey or RGB
        columns: images in a row; the last row may be incomplete

    Returns:
        (rows * height * factor + gaps, columns * width * factor + gaps, channels), uint8; the
        factor is a whole number that makes it about 500 pixels wide

    Raises:
        ValueError: if images have neither one channel nor three
    """
    count, channels, _, width = images.shape
    if channels not in (1, 3):
        raise ValueError(f"a picture of {channels} channels: it takes 1 (grey) or 3 (RGB)")
    factor = max(1, round(WIDTH / (columns * width)))
    pixels = images.detach().cpu().float().clamp(0, 1).mul(255).round().byte()
    pixels = pixels.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    cells = functional.pad(pixels, (0, GAP, 0, GAP), value=BACKGROUND)
    empty = torch.full_like(cells[:1], BACKGROUND).expand(-count % columns, -1, -1, -1)
    table = torch.cat([cells, empty]).unflatten(0, (-1, columns))
    # (rows, columns, channels, height, width) -> (rows * height, columns * width, channels)
    picture = table.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return picture[:-GAP, :-GAP].numpy()


def scatter(samples: Tensor, real: Tensor, path: Path, title: str = "") -> None:
    """Real points, and generated ones over them, as a PNG file.

    The range is that of the real points, and a tenth more on each side; how many generated ones
    are outside is in the picture's title.

    Args:
        samples: (n, 2)
        real: (m, 2)
        path: of the file
        title: of the picture
    """
    samples, real = (points.detach().cpu().float().numpy() for points in (samples, real))
    low, high = real.min(0), real.max(0)
    margin = 0.1 * float((high - low).max()) or 1.0
    low, high = low - margin, high + margin
    outside = len(samples) - int(((samples >= low) & (samples <= high)).all(1).sum())
    count = f"{len(samples):,} generated" + (f", {outside:,} outside" if outside else "")
    figure = Figure(figsize=(9, 5), layout="constrained")
    for axes, label in zip(figure.subplots(1, 2), (f"{len(real):,} real", count), strict=True):
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", title=label)
        is_real = label != count
        axes.plot(*real.T, ".", color="C0" if is_real else "0.8", markersize=3, alpha=0.5, mew=0)
        if not is_real:
            axes.plot(*samples.T, ".", color="C3", markersize=3, alpha=0.5, mew=0)
    figure.suptitle(title)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=100, format="png")


def save_grid(images: Tensor, columns: int, path: Path) -> None:
    """Writes the `grid` as a PNG file."""
    picture = grid(images, columns)
    with replacing(path) as partial:
        imsave(partial, np.broadcast_to(picture, (*picture.shape[:2], 3)), format="png")


@contextmanager
def own_noise() -> Iterator[None]:
    """Noise drawn within is always the same, and training's stays what it would have been."""
    with isolate_rng():
        torch.manual_seed(PICTURES)
        yield


def real_examples(data: LightningDataModule, module: LightningModule, count: int) -> Tensor:
    """The first examples for validation, or for training if there are none.

    Read from a loader of their own: `count` points or fewer, or the first batch of images.
    """
    loader = data.val_dataloader()
    found: list[Tensor] = []
    for batch in data.train_dataloader() if loader == [] else loader:
        batch = data.transfer_batch_to_device(batch, module.device, 0)
        found.append(data.on_after_batch_transfer(batch, 0)[0].cpu())
        if found[0].ndim > 2 or sum(map(len, found)) >= count:
            break
    return torch.cat(found)[:count]


class Samples(Callback):
    """Draws what a GAN generates to `<run folder>/samples/`, always from the same latents.

    After every so many batches, and when training ends: `0002000.png` by the weights after 2,000
    batches, and `0002000-ema.png` by their average if there is an `EMA`; the last of these also as
    `<run folder>/samples.png`. Images are a grid, in which a column is a class if the GAN is
    conditional; points are drawn over real ones. W&B has them as `samples/raw` and `samples/ema`,
    at the step of the last of those batches. Training stays as it is, bit by bit.

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

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step = state_dict["step"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.interval = batches(self.every, trainer)
        if trainer.datamodule is None:
            raise ValueError("Samples looks at the real examples of a datamodule: there is none")
        with own_noise():
            self.real = real_examples(trainer.datamodule, pl_module, self.count or POINTS)
        shape = tuple(self.real.shape[1:])
        self.are_points = shape == (2,)
        if not self.are_points and (len(shape) != 3 or shape[0] not in (1, 3)):
            raise ValueError(f"Samples draws points and images of 1 or 3 channels, not {shape}")
        classes = pl_module.classes
        self.width = self.columns or (classes if classes and classes <= 20 else 8)
        default = POINTS if self.are_points else math.ceil(IMAGES / self.width) * self.width
        self.total = self.count or default

    # When the next batch begins, all callbacks are done with the last: an average has its weights.
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

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        path = self._draw(trainer, pl_module)
        if path is not None:
            with replacing(path.parent.with_name("samples.png")) as partial:
                partial.write_bytes(path.read_bytes())

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> Path | None:
        """Writes the pictures; the last one's path, where this process writes."""
        if trainer.fast_dev_run:
            return None
        # On all processes, which may hold shards of the weights.
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
