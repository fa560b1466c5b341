"""Checkpoints of whole steps: a run that goes on from one does all that it would have done."""

from collections.abc import Callable
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.loops.fetchers import _DataFetcher
from lightning.pytorch.trainer.states import TrainerFn

from callbacks.requeue import Requeue
from recipes.running.rows import MetricsFile

ROWS = "metrics_rows"  # in a checkpoint: how many rows its last step had


class WholeSteps(Callback):
    """Saves after a step, and not within it.

    ModelCheckpoint saves a run every few steps before the module's `on_train_batch_end` is called
    and the step's row is logged. A run that is killed right then and resumed has lost that row; and
    where validation or the end of the epoch was next, Lightning's resumed run leaves these out. At
    the end of an epoch it saves before the epoch's row is logged.

    This calls ModelCheckpoint when the step or the epoch is over, and saves what is next. It
    refuses to save at a validation that is within the batches of one step: their gradients are not
    in a checkpoint.

    Raises:
        ValueError: if validation falls within steps, and ModelCheckpoint would save then
    """

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.fetcher: _DataFetcher | None = None  # of the batches, while a step has just ended
        self.has_epoch_ended = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        loop, connector = trainer.fit_loop.epoch_loop, trainer._logger_connector
        if stage != TrainerFn.FITTING or isinstance(loop.on_advance_end, partial):
            return  # of a trainer that fits again
        for callback in trainer.callbacks:
            if isinstance(callback, (Checkpoint, Requeue)):
                for hook in ("on_train_batch_end", "on_train_epoch_end"):
                    if (own := getattr(callback, hook)) is not None:  # as idle hooks are
                        setattr(callback, hook, partial(self._wait, own))
        loop.on_advance_end = partial(self._end_step, loop.on_advance_end)
        log = connector.update_train_epoch_metrics
        connector.update_train_epoch_metrics = partial(self._end_epoch, log)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for callback in trainer.checkpoint_callbacks:
            # Of a run that goes on: it has saved this step, and would again after the next batch,
            # within the step that this is a part of.
            every = getattr(callback, "_every_n_train_steps", 0)
            if every and trainer.global_step % every == 0:
                callback._last_global_step_saved = trainer.global_step
        batches, every = trainer.accumulate_grad_batches, trainer.val_check_batch
        if every >= trainer.num_training_batches or every % batches == 0:
            return
        if any(map(partial(saves_at_validation, trainer), trainer.checkpoint_callbacks)):
            raise ValueError(
                f"--trainer.val_check_interval={trainer.val_check_interval}: ModelCheckpoint would "
                f"save after {every} batches, within a step of "
                f"--trainer.accumulate_grad_batches={batches}: give a multiple of {batches}"
            )

    def _wait(self, save: Callable[..., None], *args: object) -> None:
        self.waiting.append(partial(save, *args))

    def _save(self) -> None:
        waiting, self.waiting = self.waiting, []
        for save in waiting:
            save()

    def _end_step(self, goes_on: Callable[[_DataFetcher], None], fetcher: _DataFetcher) -> None:
        """A step has ended; then come validation and the next one."""
        self.fetcher = fetcher
        self._save()
        self.fetcher = None
        goes_on(fetcher)

    def _end_epoch(self, log: Callable[[], None]) -> None:
        """An epoch has ended, and its row is logged."""
        log()
        self.has_epoch_ended = True
        self._save()
        self.has_epoch_ended = False

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.fetcher is None and not self.has_epoch_ended:
            return
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile) and trainer.is_global_zero:
                checkpoint[ROWS] = logger.rows_of(trainer.global_step - 1)
        loop, state = trainer.fit_loop.epoch_loop, checkpoint["loops"]["fit_loop"]
        loaders = trainer.fit_loop._combined_loader.flattened
        progress = state["epoch_loop.val_loop.batch_progress"]
        if not self.has_epoch_ended:
            # No validation is under way. That of the epoch before is forgotten by the validation
            # that tries a resumed run, and would be told in one that was not resumed.
            progress["current"] = dict.fromkeys(progress["current"], 0)
            progress["is_last_batch"] = False
        if self.has_epoch_ended:
            state["epoch_loop.state_dict"]["_batches_that_stepped"] += 1  # one less for the row
        elif loop._should_check_val_fx(self.fetcher):
            # As if it had begun: Lightning goes back to it.
            begun = progress["total"]["completed"] + 1
            progress["total"] |= {"ready": begun, "started": begun}
        elif loop._num_ready_batches_reached() and not all(map(is_resumable, loaders)):
            # It would begin its epoch anew, for one more step: as Lightning has it, the next one.
            for counts in ("total", "current"):
                state["epoch_loop.batch_progress"][counts]["completed"] -= 1
        elif not loop._should_accumulate():
            state["epoch_loop.state_dict"]["_batches_that_stepped"] += 1

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile):
                logger.rewinds_at = checkpoint.get(ROWS)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:  # no batch of this validation has begun
            trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.reset_on_restart()


def saves_at_validation(trainer: Trainer, callback: Checkpoint) -> bool:
    """Whether a callback saves when validation has ended."""
    if not isinstance(callback, ModelCheckpoint) or not callback._every_n_epochs:
        return False
    return not callback._should_save_on_train_epoch_end(trainer)


def is_resumable(loader: object) -> bool:
    """Whether a loader of batches goes on within an epoch."""
    return hasattr(loader, "load_state_dict")
