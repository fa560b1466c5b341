"""Samples per second, and peak memory on a GPU."""

import time

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.data import extract_batch_size

from datamodules.loading.loader import data_rank
from recipes.parts.logs import is_logging_step


class Throughput(Callback):
    """Logs how fast training is, in the steps that are logged.

    `throughput/samples_per_second`: samples of all processes since the last such step, by the time
    between the two, without validation's; `throughput/peak_memory`: the most that tensors took on
    this GPU since training started, bytes.

    Lightning's ThroughputMonitor synchronises a GPU in every batch, logs nothing before 100 batches
    and no memory, and gives validation's rows steps of their own count.

    ```yaml
    - class_path: Throughput
    ```
    """

    def __init__(self) -> None:
        self.start = 0.0  # seconds
        self.samples = 0
        self.pause = 0.0  # when validation began, seconds

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start, self.samples = now(pl_module), 0
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.pause = now(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start += now(pl_module) - self.pause

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        *args: object,
    ) -> None:
        self.samples += extract_batch_size(batch) * data_rank(trainer)[1]
        # While a step accumulates, each of its batches is one that is logged.
        if not is_logging_step(trainer) or trainer.fit_loop._should_accumulate():
            return
        end = now(pl_module)
        values = {"throughput/samples_per_second": self.samples / (end - self.start)}
        if pl_module.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(pl_module.device)
            values["throughput/peak_memory"] = float(peak)
        self.start, self.samples = end, 0
        pl_module.log_dict(values)


def now(pl_module: LightningModule) -> float:
    """Seconds, when a GPU has done what it was told."""
    if pl_module.device.type == "cuda":
        torch.cuda.synchronize(pl_module.device)
    return time.perf_counter()
