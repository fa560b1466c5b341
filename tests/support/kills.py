"""What ends a process of a run without a warning."""

import os
import signal
from pathlib import Path

from lightning.pytorch import Callback


class Kill(Callback):
    """Sends the process of one rank, or with -1 all of them, a signal after some steps, once.

    Every process leaves a file of its number, `pid-<rank>`, and before the signal another one.
    """

    def __init__(self, rank: int, step: int, number: str = "SIGKILL") -> None:
        self.rank, self.step, self.number = rank, step, number

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        Path(f"pid-{trainer.global_rank}").write_text(str(os.getpid()))
        done = Path(f"killed-{trainer.global_rank}-{self.step}")
        is_meant = self.rank in (trainer.global_rank, -1) and trainer.global_step == self.step
        if is_meant and not done.exists():
            done.touch()
            os.kill(os.getpid(), signal.Signals[self.number])
