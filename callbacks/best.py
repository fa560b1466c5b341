"""The state after the best validation, in a file of its own."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info


class BestCheckpoint(Checkpoint):
    """Keeps the state after the best validation so far in `best.ckpt`, beside `last.ckpt`.

    Of every run of the command line whose module says by which metric: `monitor = ("val/accuracy",
    "max")`. Of equal values the first counts. A run that goes on from an earlier state than its
    `best.ckpt` looks for the best anew, and so ends with the same file as one that was never cut
    off.

    A callback that makes the network another one, as `Prune` and `FakeQuantize` do, says by
    `is_settled` whether it has done so: from then on, what was validated before counts no more. If
    nothing was validated since, the run ends without a `best.ckpt`, and says so.

    Args:
        folder: of the file
        metric: log key, as the evaluated weights have it: with `EMA`, the average
        mode: max if more is better, or min
    """

    def __init__(self, folder: Path, metric: str, mode: str) -> None:
        self.path, self.metric = folder / "best.ckpt", metric
        self.sign = {"max": 1, "min": -1}[mode]
        self.value: float | None = None
        self.step = self.epoch = -1
        self.of_settled = False

    @property
    def facts(self) -> dict[str, Any]:
        """Of the best validation so far."""
        return {"metric": self.metric, "value": self.value, "step": self.step, "epoch": self.epoch}

    def state_dict(self) -> dict[str, Any]:
        return self.facts | {"of_settled": self.of_settled}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["metric"] == self.metric:
            self.value, self.step = state_dict["value"], state_dict["step"]
            self.epoch = state_dict["epoch"]
            self.of_settled = state_dict.get("of_settled", True)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        is_there = trainer.is_global_zero and step_of(self.path) == self.step
        if not trainer.strategy.broadcast(is_there):
            self.value = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        is_fit = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        if not is_fit or trainer.fast_dev_run or self.metric not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[self.metric])
        is_settled = not unsettled(trainer)
        is_better = self.value is None or (
            (is_settled, self.sign * value) > (self.of_settled, self.sign * self.value)
        )
        if trainer.strategy.broadcast(is_better and value == value):
            self.value, self.step = value, trainer.global_step
            self.epoch, self.of_settled = trainer.current_epoch, is_settled
            trainer.save_checkpoint(self.path, weights_only=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.value is None or self.of_settled:
            return
        if late := unsettled(trainer):
            rank_zero_info(f"note: the run ends before {' and '.join(late)} has done its work")
            return
        rank_zero_info("note: the finished network was never validated: there is no best.ckpt")
        self.value = None
        if trainer.is_global_zero:
            self.path.unlink(missing_ok=True)

    def __str__(self) -> str:
        return f"best: {self.metric} {self.value:.4g} in epoch {self.epoch}, {self.path.name}"


def unsettled(trainer: Trainer) -> list[str]:
    """The callbacks that have not yet made the network what they shall make it."""
    waiting = (each for each in trainer.callbacks if not getattr(each, "is_settled", True))
    return [type(callback).__name__ for callback in waiting]


def best_of(trainer: Trainer) -> BestCheckpoint | None:
    """A trainer's callback that keeps the best state, if it has found one."""
    kept = (callback for callback in trainer.callbacks if isinstance(callback, BestCheckpoint))
    return next((callback for callback in kept if callback.value is not None), None)


def step_of(path: Path) -> int | None:
    """The step after which a checkpoint was saved; None if there is none that can be read."""
    try:
        # Mapped: the weights are not read.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)["global_step"]
    except Exception:  # whatever reading a damaged file comes to
        return None
