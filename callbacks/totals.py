"""How much a run has seen, and how long it has taken."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.data import extract_batch_size
from torch import Tensor

from datamodules.loading.loader import data_rank
from recipes.parts.logs import is_logging_step

MANY = 0.1  # of the training rows: an epoch that leaves out as many says so


class Totals(Callback):
    """Counts a run's samples and seconds, also those before it was resumed.

    `samples`: of all processes, each repetition counts; in the rows of training that are kept and
    in validation's: what to draw runs over that differ by their batches. The run's `run.json` has
    them in the end, and the seconds of training with its validation. (Lightning's Timer would
    count these, but a Trainer that has one no longer ends after 1,000 epochs.)

    ```yaml
    - class_path: Totals
    ```
    """

    def __init__(self) -> None:
        self.samples, self.before = 0, 0.0  # before: seconds until it was resumed
        self.processes = 1  # that share out the batches
        self.start: float | None = None

    @property
    def seconds(self) -> float:
        """Of training so far, with its validation."""
        return self.before + (0 if self.start is None else time.monotonic() - self.start)

    def state_dict(self) -> dict[str, Any]:
        return {"samples": self.samples, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.samples, self.before = state_dict["samples"], state_dict["seconds"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start, self.processes = time.monotonic(), data_rank(trainer)[1]
        loader = trainer.train_dataloader
        left_out = getattr(loader, "left_out", 0)
        if left_out and left_out >= MANY * len(loader.table):
            share = f"{left_out} of {len(loader.table)} training rows"
            rank_zero_info(
                f"note: an epoch leaves out {share}: they fill no whole batch of --data.batch_size"
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.before, self.start = self.seconds, None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        *args: object,
    ) -> None:
        self.samples += size(batch) * self.processes
        if is_logging_step(trainer):
            self._log(pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._log(pl_module)

    def _log(self, pl_module: LightningModule) -> None:
        # Float32, Lightning's own choice, counts no further than 16,777,216. It stays on the CPU.
        count = torch.tensor(self.samples, dtype=torch.float64)
        pl_module.log("samples", count, batch_size=1)


def size(batch: object) -> int:
    """The samples of a batch: of the inputs in front, or, of other batches, as Lightning says."""
    first = batch[0] if isinstance(batch, (tuple, list)) and batch else None
    if isinstance(first, Tensor) and first.ndim:
        return len(first)  # Lightning's own way, in each step, looks at all that is within
    return extract_batch_size(batch)
