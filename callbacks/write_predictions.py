"""Predictions as a table that any program reads, and as arrays."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from datamodules.loading.missing import is_known
from recipes.parts.files import replacing


class WritePredictions(BasePredictionWriter):
    """Writes what `predict` computes to `<run folder>/predictions.csv`: a row per example.

    The columns are the tensors that `predict_step` returns, by name; a tensor of shape (batch, n)
    becomes n numbered columns. A target that is missing leaves its cell empty, and `target` is no
    column if all are. One of more dimensions, such as images, is written to
    `<run folder>/<name>.npy` instead: one array of all examples, in the tensor's type, read by
    `numpy.load`. All are in the order of the predict data, on one process.

    ```yaml
    - class_path: WritePredictions
    ```
    """

    def __init__(self) -> None:
        super().__init__(write_interval="epoch")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.world_size > 1:
            raise ValueError("predict writes rows in order on one process: --trainer.devices=1")

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[dict[str, torch.Tensor]],
        batch_indices: Sequence[Any],
    ) -> None:
        if trainer.fast_dev_run:
            return
        folder = Path(trainer.default_root_dir)
        columns: dict[str, list[float | str]] = {}
        for name in predictions[0]:
            values = torch.cat([batch[name] for batch in predictions]).cpu()
            if values.ndim > 2:
                write_array(folder / f"{name}.npy", values)
            elif name == "target":
                columns |= targets(values)
            elif values.ndim == 1:
                columns[name] = values.tolist()
            else:
                columns |= {f"{name}_{i}": part.tolist() for i, part in enumerate(values.unbind(1))}
        if columns:
            write_table(folder / "predictions.csv", columns)


def targets(values: torch.Tensor) -> dict[str, list[float | str]]:
    """The column of the targets, if any is known; missing ones are empty.

    Args:
        values: (rows,)
    """
    known = is_known(values)
    if not known.any():
        return {}
    pairs = zip(values.tolist(), known.tolist(), strict=True)
    return {"target": [value if is_there else "" for value, is_there in pairs]}


def write_array(path: Path, values: torch.Tensor) -> None:
    """Writes an array so that the file is at any time the old one or the new one."""
    if values.dtype == torch.bfloat16:  # which numpy does not have
        values = values.float()
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, values.numpy())


def write_table(path: Path, columns: dict[str, list[float | str]]) -> None:
    """Writes columns of one length so that the file is at any time the old one or the new one."""
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
