"""The lesson on optimizers: where each goes on the loss surface of a line, from its first step."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from recipes.parts.files import replace_file, replacing
from recipes.parts.networks import LinearModel
from recipes.parts.numbers import PositiveFinite
from recipes.study.lesson_picture import draw
from recipes.study.module import Study
from recipes.study.surface import Surface, Walk, steps_table, walks
from recipes.study.table import markdown


class Lesson(Callback):
    """Keeps weight and bias of a study's lines after each batch; draws and counts their steps.

    Writes lesson.png, the table lesson.md, and lesson.npz: `weights` (batches + 1, members, 2), the
    `loss` on all training rows (batches + 1, members), and each member's `optimizer`, `schedule`,
    `learning_rate` and `seed`.

    ```yaml
    - class_path: recipes.study.lesson.Lesson
      init_args: {within: 0.01, decays: SGD}
    ```

    Args:
        within: the table counts the steps until the loss is this share above its lowest value
        decays: label of the optimizer whose schedules are drawn; the others are drawn with the
            first one of the study's
    """

    def __init__(self, within: PositiveFinite = 0.01, decays: str = "SGD") -> None:
        self.within, self.decays = float(within), decays
        self.points: list[Tensor] = []  # (members, 2) each

    def state_dict(self) -> dict[str, Any]:
        return {"points": torch.stack(self.points)} if self.points else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.points = list(state_dict["points"]) if state_dict else []

    def on_fit_start(self, trainer: Trainer, pl_module: Study) -> None:
        check_lines(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: Study) -> None:
        if not self.points:
            self._keep(pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Study, *args: object) -> None:
        self._keep(pl_module)

    def _keep(self, study: Study) -> None:
        self.points.append(torch.cat([w.detach().cpu() for w in study.population.weights]))

    def on_fit_end(self, trainer: Trainer, pl_module: Study) -> None:
        if trainer.fast_dev_run or not trainer.is_global_zero:
            return
        population, folder = pl_module.population, Path(trainer.default_root_dir)
        rows = trainer.datamodule.splits(population.members[0].split).train
        surface = Surface.of(rows)
        path = torch.stack(self.points).double()
        found = walks(
            population.members, path, surface, population.accumulate, pl_module.multipliers
        )
        batches = trainer.num_training_batches
        optimizers, decays = chapters(found, self.decays)
        table = markdown(steps_table(optimizers + decays[1:], surface, self.within, batches))
        write(folder / "lesson.npz", pl_module, path, surface)
        replace_file(folder / "lesson.md", table)
        draw(folder / "lesson.png", rows, surface, optimizers, decays, self.within, batches)
        print(table, flush=True)


def chapters(found: dict[tuple[str, str], Walk], decays: str) -> tuple[list[Walk], list[Walk]]:
    """The walks of each optimizer with the first schedule, and those of one with each schedule.

    Args:
        found: by optimizer and schedule
        decays: label of the one
    """
    first = next(iter(found))[1]
    optimizers = [walk for (_, schedule), walk in found.items() if schedule == first]
    return optimizers, [walk for (optimizer, _), walk in found.items() if optimizer == decays]


def write(path: Path, study: Study, weights: Tensor, surface: Surface) -> None:
    """Writes the members' weights and losses as arrays; see `Lesson`."""
    members = study.population.members
    arrays = {
        name: np.array([getattr(member.trial, name) for member in members])
        for name in ("optimizer", "schedule", "learning_rate")
    }
    arrays |= {"seed": np.array([member.seed for member in members])}
    loss = surface.lowest + surface.above(weights)
    arrays |= {"weights": weights.numpy(), "loss": loss.numpy()}
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def check_lines(trainer: Trainer, study: Study) -> None:
    """Refuses what is no study of a line's weight and bias, or drops members on the way.

    Raises:
        ValueError: with the option to change
    """
    lesson = "--trainer.callbacks: Lesson"
    if not isinstance(study, Study):
        raise ValueError(f"{lesson} is of recipes.study")
    shapes = [list(network.shapes.values()) for network in study.networks.values()]
    if shapes != [[(1, 1), (1,)]] or not isinstance(study.networks[""].template, LinearModel):
        raise ValueError(
            f"{lesson} draws one weight and one bias: --model.network=LinearModel of one input"
        )
    if study.loss.name != "mse" or len({split for split, _ in study.streams}) > 1:
        raise ValueError(f"{lesson} has one loss surface: --model.loss=mse, one of --model.splits")
    if study.rounds.halves or study.rounds.period:
        raise ValueError(f"{lesson} follows all members to the end: one round, --model.halving=1")
