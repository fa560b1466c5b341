"""What is done when training ends, and also where nothing was left to train."""

from abc import ABC, abstractmethod

from lightning.pytorch import Callback, LightningModule, Trainer


class AtEnd(Callback, ABC):
    """Does something once, when training ends; subclasses say what.

    A run that was killed behind its last checkpoint, while it drew, has nothing left to train when
    it is resumed: Lightning then calls no hook of training, and it is done when the fit ends. Only
    then, as the weights have left the GPU by that time.
    """

    is_done = False

    @abstractmethod
    def at_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What is done, on all processes."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.is_done = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.is_done = True
        self.at_end(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.is_done and trainer.global_step:  # of untrained weights there is nothing
            self.at_end(trainer, pl_module)
