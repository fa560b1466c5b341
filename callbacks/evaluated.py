"""A checkpoint is evaluated by the weights that its own run evaluated."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from callbacks.averages import averages, state_key
from callbacks.ema import EMA


class Evaluated(Callback):
    """Evaluates a checkpoint with its averages, also where no `EMA` is among the callbacks.

    Of every run of the command line: a checkpoint apart from its run's folder does not say which
    callbacks that run had.
    """

    def __init__(self) -> None:
        self.averages: list[EMA] = []

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.averages = []
        if trainer.state.fn == TrainerFn.FITTING:
            return
        present = {callback.state_key for callback in trainer.callbacks}
        for module, state in averages(checkpoint).items():
            if state_key(module) not in present:
                self.averages.append(EMA(module))
                self.averages[-1].load_state_dict(state)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for average in self.averages:
            average.swap_in(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for average in self.averages:
            average.swap_out(pl_module)

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end
