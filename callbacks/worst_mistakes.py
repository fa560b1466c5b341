"""The pictures that a classifier was most sure of, and wrong, as one picture."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
import torch.distributed as dist
from jsonargparse.typing import PositiveInt
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from matplotlib.figure import Figure
from torch import Tensor

from callbacks.write_predictions.columns import label
from datamodules.loading.missing import is_known
from recipes.parts.files import replacing

COLUMNS = 6
INCHES = 2.0  # of a picture in the grid
SHOWN = 26  # letters of a file's path, or of a class, that there is room for


@dataclass
class Mistake:
    """A test picture that was taken for what it is not.

    Attributes:
        row: its number in the test data, from 0
        image: (channels, height, width), 0 to 1
        true: its class
        predicted: another class
        probability: of the predicted class, 0 to 1
    """

    row: int
    image: Tensor
    true: int
    predicted: int
    probability: float


class WorstMistakes(Callback):
    """Draws the test pictures that a classifier was most sure of and wrong: `mistakes.png`.

    It is in the run's folder after `test`. Each has its file, or its number in the test data, the
    true and the predicted class as the data's `class_names` say, and the probability of the latter
    (0 to 1), the largest first. It is made of grey and colour images, if the module's `test_step`
    returns what `ClassReport` takes.

    ```yaml
    - class_path: WorstMistakes
      init_args: {count: 12}
    ```

    Args:
        count: number of pictures that are drawn, at most
    """

    def __init__(self, count: PositiveInt = 24) -> None:
        self.count = count
        self.worst: list[Mistake] = []
        self.seen = 0  # pictures, on this process

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.worst, self.seen = [], 0

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not isinstance(outputs, dict) or not {"target", "probability"} <= outputs.keys():
            return
        if not (isinstance(batch, (tuple, list)) and len(batch) > 1 and is_image(batch[0])):
            return
        images, known = batch[0], is_known(batch[1]).nonzero().squeeze(1)  # of which outputs are
        sureness, predicted = outputs["probability"].max(1)
        sureness = torch.where(predicted == outputs["target"], -1, sureness)
        found = sureness.topk(min(self.count, len(sureness)))
        loader = trainer.test_dataloaders
        counted = torch.arange(self.seen, self.seen + len(images))
        numbers = loader.rows(batch_idx) if hasattr(loader, "rows") else counted
        self.seen += len(images)
        for share, place in zip(found.values.tolist(), found.indices.tolist(), strict=True):
            if share >= 0:
                in_batch = int(known[place])
                classes = int(outputs["target"][place]), int(predicted[place])
                image = images[in_batch].float().cpu()
                self.worst.append(Mistake(int(numbers[in_batch]), image, *classes, share))
        self.worst = self._first(self.worst)

    def _first(self, mistakes: Iterable[Mistake]) -> list[Mistake]:
        """The worst ones, each once: processes that share out the layers have the same."""
        keys = {(-each.probability, each.row, each.true, each.predicted): each for each in mistakes}
        return [keys[key] for key in sorted(keys)][: self.count]

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size > 1:
            found: list[list[Mistake]] = [[]] * trainer.world_size
            dist.all_gather_object(found, self.worst)
            self.worst = self._first(chain.from_iterable(found))
        if not trainer.is_global_zero or trainer.fast_dev_run:
            return
        path = Path(trainer.default_root_dir, "mistakes.png")
        path.unlink(missing_ok=True)  # of an earlier test
        if not self.worst:
            return
        draw(self.worst, titles(self.worst, trainer), path)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("test/mistakes", [str(path)])


def is_image(inputs: object) -> bool:
    """Whether inputs are grey or colour images, (batch, 1 or 3, height, width)."""
    return isinstance(inputs, Tensor) and inputs.ndim == 4 and inputs.shape[1] in (1, 3)


def titles(mistakes: Sequence[Mistake], trainer: Trainer) -> list[str]:
    """What stands above each picture: its file or number, what it is and what it was taken for."""
    data: LightningDataModule | None = trainer.datamodule
    names = getattr(data, "class_names", None) or ()
    rows = torch.tensor([each.row for each in mistakes])
    has_files = hasattr(data, "identifiers") and hasattr(trainer.test_dataloaders, "rows")
    files = map(str, data.identifiers(rows)) if has_files else (f"test row {row}" for row in rows)
    return [
        f"{ending(file)}\n{ending(label(each.true, names))}, taken for\n"
        f"{ending(label(each.predicted, names), 20)} {each.probability:.1%}"
        for file, each in zip(files, mistakes, strict=True)
    ]


def ending(text: str, letters: int = SHOWN) -> str:
    """A text's last letters, if it has too many."""
    return text if len(text) <= letters else f"…{text[1 - letters :]}"


def draw(mistakes: Sequence[Mistake], above: Sequence[str], path: Path) -> None:
    """Draws pictures in rows as a PNG file, with a text above each."""
    columns = min(COLUMNS, len(mistakes))
    rows = math.ceil(len(mistakes) / columns)
    figure = Figure(figsize=(INCHES * columns, (INCHES + 0.5) * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, each, text in zip(grid, mistakes, above, strict=False):
        # A name may have a dollar sign, which would begin a formula.
        axes.set_title(text, fontsize=8, parse_math=False)
        pixels = each.image.clamp(0, 1).permute(1, 2, 0).numpy()
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120, format="png")
