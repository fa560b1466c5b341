"""The files of a run's folder: config.yaml, metrics.jsonl and the checkpoints."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from callbacks.totals import Totals
from recipes.parts.checkpoints import plain
from recipes.parts.files import replace_file, replacing
from recipes.parts.keys import dotted
from recipes.running.run import Run


class MetricsFile(Logger):
    """Appends every logged row to a file of JSON lines: {"step": 9, "val/loss": 0.2, "epoch": 0}.

    Lightning's CSVLogger deletes the rows that it finds in a folder that a run resumes in, and
    rewrites the whole file when a new key appears. This one only appends, and loses nothing when
    the process is killed.

    Args:
        path: of the file; its folder is the run's
        checkpoint: what is evaluated; its rows then have that in place of a step, which Lightning
            counts from 0 again
    """

    def __init__(self, path: str, checkpoint: str | None = None) -> None:
        super().__init__()
        self.path, self.checkpoint = Path(path), checkpoint

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row = {"step": step, **metrics}
        if self.checkpoint:
            row = {"checkpoint": self.checkpoint, **metrics}
            row.pop("epoch", None)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    @rank_zero_only
    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        """Nothing: they are in config.yaml."""


def rewind(path: Path, step: int) -> None:
    """Drops the rows of the steps that a run resumed at `step` will train again.

    If there are any, the file as it was is kept beside it, with the time in its name.
    """
    if not path.is_file():
        return
    kept, before = [], path.read_text()
    for line in before.splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:  # cut off by the kill
            continue
        if row["step"] is None or row["step"] < step:
            kept.append(line + "\n")
    if len(kept) < len(before.splitlines()):
        replace_file(path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}.bak"), before)
        replace_file(path, "".join(kept))


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
        self.resolved, self.run = resolved, run

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
        # Not before: a run that cannot be resumed stays as it was.
        if trainer.is_global_zero and not self.run.is_new:
            rewind(self.run.folder / "metrics.jsonl", trainer.global_step)
            replace_file(self.run.folder / "config.yaml", self.resolved)
            self.run.write_facts()

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
