"""The callback that draws how samples come out of noise."""

from pathlib import Path

import torch
from jsonargparse.typing import PositiveInt
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from matplotlib.figure import Figure
from torch import Tensor

from callbacks.at_end import AtEnd
from callbacks.ema import averaged, shard_again
from callbacks.samples import PICTURES
from recipes.parts.centred import uncentred
from recipes.parts.files import replacing
from recipes.parts.networks import evaluating
from recipes.parts.pictures import save_grid

POINTS = 1000  # in a picture
COLUMNS = 10  # states of a sample, the first noise and the last an example


def chosen(count: int, columns: int) -> list[int]:
    """Which of some states are shown, at equal distances, with the first and the last.

    Args:
        count: of states
        columns: that are shown at most
    """
    shown = min(count, columns)
    return sorted({round(k * (count - 1) / max(1, shown - 1)) for k in range(shown)})


def draw_points(states: list[Tensor], path: Path) -> None:
    """Draws points at some states beside each other, all in the range of the last and the first.

    Args:
        states: (n, 2) each
        path: of the PNG file
    """
    figure = Figure(figsize=(1.6 * len(states), 1.8), layout="constrained", dpi=100)
    reach = 1.1 * float(states[-1].abs().max().clamp(min=states[0].abs().quantile(0.99)))
    for axes, points in zip(figure.subplots(1, len(states)), states, strict=True):
        axes.plot(*points.T.numpy(), ".", color="C3", markersize=3, alpha=0.5, mew=0)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


class Trajectories(AtEnd):
    """Draws how the sampler leads from noise to examples: `trajectory.png`, when training ends.

    Each row is a sample, from noise on the left to an image on the right; of points each panel has
    1,000, and other data have no picture. It is drawn by the averages, if there is an `EMA`. W&B
    has it as `pictures/trajectory`. Training is left as it is, bit by bit.

    ```yaml
    - class_path: Trajectories
      init_args: {rows: 6}
    ```

    Args:
        rows: samples of images; with classes one class after the other
    """

    def __init__(self, rows: PositiveInt = 6) -> None:
        self.rows = rows

    def at_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        is_image = len(pl_module.shape) == 3 and pl_module.shape[0] in (1, 3)
        if trainer.fast_dev_run or not (is_image or pl_module.shape == (2,)):
            return
        with averaged(trainer, pl_module):
            states = self._states(pl_module, self.rows if is_image else POINTS)
        shard_again(pl_module)
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "trajectory.png"
        if is_image:
            save_grid(torch.stack(states, 1).flatten(0, 1), len(states), path)
        else:
            draw_points(states, path)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                # Lightning counts a row's step from 0.
                step = trainer.global_step - 1
                logger.log_image("pictures/trajectory", [str(path)], step)

    @torch.no_grad()
    def _states(self, module: LightningModule, count: int) -> list[Tensor]:
        """Some states of samples, (count, ...) each, images in [0, 1]; all processes compute."""
        shown = chosen(len(module.path.grid(module.sampler.steps)), COLUMNS)
        with evaluating(module.network):
            every = enumerate(module.states(*module.draw(count, PICTURES)))
            return [uncentred(x).cpu().float() for k, x in every if k in shown]
