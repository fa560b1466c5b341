"""A SLURM job that is queued again at the end of a step, not within it."""

import signal
from types import FrameType

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment


class Requeue(Callback):
    """Postpones Lightning's answer to SLURM's signal to the end of the batch, on all processes.

    Before a job's time is up, SLURM sends the signal of `#SBATCH --signal=SIGUSR1@120`. Lightning
    then saves the run and queues the job again, wherever it is: between the two halves of a GAN's
    step, or with its processes in different batches, which then wait for each other.

    ```yaml
    - class_path: Requeue
    ```
    """

    def __init__(self) -> None:
        self.answer, self.received = None, False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        environment = trainer._accelerator_connector.cluster_environment
        if isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
            self.signal = environment.requeue_signal or signal.SIGUSR1
            self.answer = signal.signal(self.signal, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        if self.answer is None:
            return
        if trainer.strategy.reduce_boolean_decision(self.received, all=False):
            self.received = False
            self.answer(self.signal, None)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.answer is not None:
            signal.signal(self.signal, self.answer)
            self.answer = None
