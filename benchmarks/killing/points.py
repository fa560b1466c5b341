"""The callback that kills its own process at a point of training, or says when it saves."""

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

MID_VALIDATION = "mid validation"
POINTS = (
    "first batch",
    "middle batch",
    "last batch",
    "validation begins",
    MID_VALIDATION,
    "before a save",
    "mid save",
    "after a save",
)
EPOCH, SAVE = 1, 3  # in which the points are, and which of the saves is meant; from 0


class Point(Callback):
    """Kills the process at a point of the second epoch, or of the fourth save, the first time.

    Without a point it only leaves a file `saves`: a line `begin` and a line `end` of each save,
    with the time.

    Args:
        at: one of POINTS, or nothing
    """

    def __init__(self, at: str = "") -> None:
        self.at, self.saves = at, 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.save, self.writes = trainer.strategy.save_checkpoint, trainer.is_global_zero
        trainer.strategy.save_checkpoint = self._save

    def _save(self, checkpoint: dict[str, Any], path: str, *args: object, **kwargs: Any) -> None:  # noqa: ANN401
        self.saves += 1
        self._note("begin")
        here = self.saves > SAVE
        self._kill(here, "before a save")
        if here and self.at == "mid save" and Path(path).exists():
            end_after(Path(path).stat().st_size // 2)
        self.save(checkpoint, path, *args, **kwargs)
        self._note("end")
        self._kill(here, "after a save")

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        last = trainer.num_training_batches - 1
        here = trainer.current_epoch == EPOCH
        self._kill(here and batch_idx == 0, "first batch")
        self._kill(here and batch_idx == last // 2, "middle batch")
        self._kill(here and batch_idx == last, "last batch")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        here = trainer.current_epoch == EPOCH and not trainer.sanity_checking
        self._kill(here, "validation begins")

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: object,
        batch_idx: int,
        *args: object,
    ) -> None:
        here = trainer.current_epoch == EPOCH and not trainer.sanity_checking
        self._kill(here and batch_idx == 1, MID_VALIDATION)

    def _note(self, word: str) -> None:
        if self.writes:
            with Path("saves").open("a") as file:
                file.write(f"{word} {time.monotonic()}\n")

    def _kill(self, here: bool, name: str) -> None:
        if here and self.at == name:
            os.kill(os.getpid(), signal.SIGKILL)


def end_after(size: int) -> None:
    """From now on the system ends this process when a file grows beyond a size.

    Args:
        size: bytes
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which Python ignores
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
