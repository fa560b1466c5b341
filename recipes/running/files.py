"""The files of a run's folder: config.yaml, run.json and the checkpoints."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from callbacks.best import BestCheckpoint
from callbacks.totals import Totals
from recipes.parts.checkpoints import plain
from recipes.parts.files import replace_file, replacing
from recipes.parts.keys import dotted
from recipes.running.idle_hooks import leave_out_idle_hooks
from recipes.running.rows import MetricsFile
from recipes.running.run import Run


class SaveConfig(SaveConfigCallback):
    """Writes a run's resolved config to its folder and to its loggers.

    Lightning's own writes one `config.yaml` for all runs of a WandbLogger, and refuses the second.

    Args:
        args: as LightningCLI gives them
        resolved: the config with all defaults, YAML
        run: the run
        kwargs: as LightningCLI gives them
    """

    def __init__(self, *args: Any, resolved: str, run: Run, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        leave_out_idle_hooks(self)  # LightningCLI puts it in place
        self.resolved, self.run = resolved, run
        self.before: dict[Path, bytes] = {}  # what a resumed run has replaced

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return  # the run's own stay: what evaluates it may have others
        # In W&B a run that goes on would stay finished otherwise.
        facts = {"finished": False} | self.run.facts
        run = {name: fact for name, fact in facts.items() if name != "settings"}
        for logger in trainer.loggers:
            logger.log_hyperparams(self.run.facts["settings"] | dotted({"run": run}))
        if self.run.is_new:
            replace_file(self.run.folder / "config.yaml", self.resolved)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not before: configure_model may have made or changed them.
        if trainer.is_global_zero and self.run.is_new:
            data = getattr(trainer.datamodule, "facts", {})  # such as a commit of the Hub
            facts = {"data": data} if data else {}
            self.run.note(trainer.loggers, parameters=count_parameters(pl_module), **facts)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        read = getattr(getattr(pl_module, "start", None), "read", None)
        if read and trainer.is_global_zero and self.run.is_new:
            self.run.note(trainer.loggers, weights=read)
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile):
                logger.rewinds_to = trainer.global_step
        # Not before: a run that cannot be resumed stays as it was.
        if trainer.is_global_zero and not self.run.is_new:
            paths = [self.run.folder / name for name in ("config.yaml", "run.json")]
            self.before = {path: path.read_bytes() for path in paths if path.exists()}
            replace_file(paths[0], self.resolved)
            self.run.write_facts()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.before = {}  # the new settings are those of a checkpoint

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if not isinstance(exception, Exception):
            return  # ended from outside, the run goes on with its new settings
        for path, content in self.before.items():
            with replacing(path) as partial:
                partial.write_bytes(content)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Here, in the process that has trained: of ddp_notebook it is not the one that started.
        if trainer.is_global_zero:
            totals = next(found for found in trainer.callbacks if isinstance(found, Totals))
            spent = {"seconds": round(totals.seconds, 3), "samples": totals.samples}
            self.run.note(trainer.loggers, **spent)


def count_parameters(module: LightningModule) -> dict[str, int]:
    """How many numbers a module has, and how many of them are trained."""
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    return {"total": sum(n for n, _ in counts), "trained": sum(n for n, is_ in counts if is_)}


class LastCheckpoint(ModelCheckpoint):
    """Keeps the state after the latest epoch in `checkpoints/last.ckpt`, to resume from.

    Args:
        folder: of the run
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(
            dirpath=folder / "checkpoints",
            filename="last",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )


def with_checkpoints(
    callbacks: list[Callback], module: LightningModule, folder: Path
) -> list[Callback]:
    """A run's callbacks with those that keep its last and its best state.

    Args:
        callbacks: the user's; a ModelCheckpoint without a dirpath gets the run's `checkpoints/`
        module: with a `monitor` if one state is better than another: metric, and max or min
        folder: of the run

    Raises:
        ValueError: if a ModelCheckpoint would write the run's own files
    """
    place = folder / "checkpoints"
    for callback in callbacks:
        if isinstance(callback, ModelCheckpoint):
            callback.dirpath = callback.dirpath or os.path.realpath(place)
            is_here = os.path.realpath(callback.dirpath) == os.path.realpath(place)
            if is_here and callback.filename in ("last", "best"):
                raise ValueError(
                    f"ModelCheckpoint's filename={callback.filename}: {place} has a file of the "
                    "run's own of this name; choose another"
                )
    # First: what the others save at the same time shall know of the best.
    best = [BestCheckpoint(place, *module.monitor)] if hasattr(module, "monitor") else []
    return [*best, *callbacks, LastCheckpoint(folder)]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces a checkpoint only by a complete one, of plain values.

    Lightning's own writes to TMPDIR first; when that is on another file system, the move is a
    copy, and a process killed during it leaves an unreadable file.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: object | None = None,
    ) -> None:
        checkpoint = plain(checkpoint)
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(Path(path)) as partial:
            torch.save(checkpoint, partial)
