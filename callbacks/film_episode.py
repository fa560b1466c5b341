"""The callback that films an episode, without a display: states are drawn here."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image, ImageDraw

from callbacks.at_end import AtEnd
from callbacks.ema import averaged
from datamodules.environments.environment import Outline
from recipes.parts.files import replacing
from recipes.parts.networks import evaluating

SIZE, FINER = 280, 3  # pixels of a frame's longer side; drawn larger, for smooth edges
MOST, STRIP = 250, 6  # frames of a film, pictures of a strip
Item = TypeVar("Item")


class FilmEpisode(AtEnd):
    """Films one evaluation episode when training ends, as it is, of any number of steps.

    `<run folder>/episode.gif` is the film, `episode.png` a strip of it; W&B has the strip as
    `episode`. By the weights that are evaluated: their average, if there is an `EMA`. Environments
    of gymnasium, and others without an `outline`, have no picture: a line says so.

    ```yaml
    - class_path: FilmEpisode
    ```

    Args:
        episode: number of the evaluation's episode
    """

    def __init__(self, episode: int = 0) -> None:
        self.episode = episode

    def at_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        environment = trainer.datamodule.environment
        if trainer.fast_dev_run or not trainer.is_global_zero:
            return
        if environment is None:
            rank_zero_info("note: no film: only this project's own environments are drawn")
            return
        with averaged(trainer, pl_module), evaluating(pl_module.network):
            states = played(trainer, pl_module, self.episode)
        outlines = [environment.outline(state) for state in some(states, MOST)]
        if None in outlines:
            rank_zero_info(f"note: no film: {type(environment).__name__} has no outline")
            return
        pictures = list(map(drawn, outlines))
        folder = Path(trainer.default_root_dir)
        # Played as fast as it happens, however many states are left out.
        seconds = len(states) / environment.frames_per_second
        save_film(pictures, seconds, folder / "episode.gif")
        save_strip(some(pictures, STRIP), folder / "episode.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                # Lightning counts a row's step from 0.
                step = trainer.global_step - 1
                logger.log_image("episode", [str(folder / "episode.png")], step)


@torch.no_grad()
def played(trainer: Trainer, module: LightningModule, episode: int) -> list[torch.Tensor]:
    """The states of one evaluation episode, from the first to the last but one.

    Args:
        trainer: of a run
        module: that has `act`
        episode: number of it
    """
    numbers = torch.tensor([episode], device=module.device)
    streams, found = trainer.datamodule.streams(numbers, "val"), []
    while True:
        found.append(streams.states[0].cpu())
        step = streams.step(module.act(streams.observations, numbers, len(found) - 1))
        if bool(step.terminated | step.truncated):
            return found


def some(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many items, at even distances, with the first and the last one."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def drawn(outline: Outline) -> Image.Image:
    """A picture of a state, as high as `SIZE` or as wide, whichever is more."""
    width, height = outline.right - outline.left, outline.top - outline.bottom
    scale = SIZE * FINER / max(width, height)
    picture = Image.new("RGB", (round(width * scale), round(height * scale)), "white")
    canvas = ImageDraw.Draw(picture)

    def place(x: float, y: float) -> tuple[float, float]:
        return (x - outline.left) * scale, (outline.top - y) * scale

    for color, thickness, points in outline.lines:
        canvas.line([place(*p) for p in points], color, thickness * FINER, joint="curve")
    for color, radius, (x, y) in outline.discs:
        r = radius * scale
        (left, top) = place(x, y)
        canvas.ellipse((left - r, top - r, left + r, top + r), color)
    return picture.resize((picture.width // FINER, picture.height // FINER), Image.LANCZOS)


def save_film(pictures: list[Image.Image], seconds: float, path: Path) -> None:
    """Writes an endless GIF that takes so many seconds."""
    first, *rest = (picture.quantize(32) for picture in pictures)
    # GIFs count in hundredths of a second, and browsers slow down what is faster than 2 of them.
    each = max(20, round(100 * seconds / len(pictures)) * 10)
    with replacing(path) as partial:
        first.save(partial, "GIF", save_all=True, append_images=rest, duration=each, loop=0)


def save_strip(pictures: list[Image.Image], path: Path) -> None:
    """Writes pictures beside each other, as PNG, with lines between them."""
    width, height = pictures[0].size
    strip = Image.new("RGB", (len(pictures) * (width + 1) - 1, height), "#8a8f98")
    for number, picture in enumerate(pictures):
        strip.paste(picture, (number * (width + 1), 0))
    with replacing(path) as partial:
        strip.save(partial, "PNG")
