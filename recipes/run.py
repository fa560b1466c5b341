"""A run's folder: its name, its resolved config, its metrics, its checkpoints, its W&B files."""

import json
import os
import platform
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import wandb
import yaml
from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

PACKAGES = ("torch", "lightning", "torchmetrics", "wandb", "jsonargparse")


@dataclass
class Run:
    """Where a run lives and what it is called.

    Attributes:
        folder: `<root>/<recipe>/<name>`; everything that the run writes is below it
        recipe: the technique, W&B's `group`
        config: names of the configs, joined by dashes, W&B's `job_type`
    """

    folder: Path
    recipe: str
    config: str

    @classmethod
    def of_checkpoint(cls, path: str | None) -> Path | None:
        """The folder of the run that a checkpoint belongs to, if it lies in one."""
        folder = Path(path).parent.parent if path else None
        return folder if folder and (folder / "run.json").is_file() else None

    @classmethod
    def start(cls, root: Path, recipe: str, config: str, name: str | None, create: bool) -> "Run":
        """A new folder: the given name, or the config's with the first number that is free.

        Args:
            root: folder of all runs
            recipe: the technique
            config: names of the configs, joined by dashes
            name: name of the folder, or None
            create: whether to make it; the main process makes it for all

        Raises:
            FileExistsError: if there is a run of the given name
        """
        parent = root / recipe
        if not create:
            return cls(parent / (name or config), recipe, config)
        parent.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            folder = parent / (name or f"{config}-{number}")
            try:
                folder.mkdir()  # atomic: of two runs that start at once, one gets it
            except FileExistsError:
                if name:
                    resume = f"--ckpt_path={folder}/checkpoints/last.ckpt"
                    raise FileExistsError(
                        f"--name={name}: {folder} exists; choose another, or resume it with {resume}"
                    ) from None
                number += 1
            else:
                return cls(folder, recipe, config)

    def describe(self, seed: int) -> dict[str, Any]:
        """Writes run.json if it is new and returns it: where the run's numbers come from."""
        path = self.folder / "run.json"
        if path.is_file():
            return json.loads(path.read_text())
        facts = {
            "recipe": self.recipe,
            "config": self.config,
            "seed": seed,
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "wandb_id": secrets.token_hex(4),
            **git_state(),
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in PACKAGES},
            "hardware": hardware(),
        }
        path.write_text(json.dumps(facts, indent=1) + "\n")
        return facts

    def loggers(self, chosen: Any, facts: dict[str, Any]) -> Any:  # noqa: ANN401 - a config value
        """The config of the run's loggers: W&B or the chosen ones, and the metrics file.

        What a chosen WandbLogger leaves open is filled in; everything else stays as it is.
        """
        if chosen is False:
            return False
        if chosen in (None, True):
            chosen = Namespace(class_path="lightning.pytorch.loggers.WandbLogger")
            chosen.init_args = Namespace(offline=wandb_offline())
        loggers = chosen if isinstance(chosen, list) else [chosen]
        for logger in loggers:
            if logger.class_path.endswith("WandbLogger"):
                self._fill_wandb(logger, facts)
        metrics = Namespace(class_path="recipes.run.MetricsFile")
        metrics.init_args = Namespace(folder=str(self.folder))
        return [*loggers, metrics]

    def _fill_wandb(self, logger: Namespace, facts: dict[str, Any]) -> None:
        if not os.environ.get("WANDB_PROJECT"):
            os.environ["WANDB_PROJECT"] = "lightning-recipes"
        init = logger.init_args
        if init.get("save_dir") in (None, "."):
            init.save_dir = str(self.folder)
        if not (init.get("version") or init.get("id")):
            init.id = facts.get("wandb_id")
        if not init.get("name"):
            init.name = self.folder.name
        defaults = {"group": self.recipe, "job_type": self.config, "tags": [self.recipe]}
        logger.dict_kwargs = {**defaults, **(logger.get("dict_kwargs") or {})}
        if init.get("offline"):
            # Its hints are for the logged-in.
            logger.dict_kwargs["settings"] = {"mode": "offline", "silent": True, "console": "off"}


def wandb_offline() -> bool:
    """Whether W&B runs without network: unless the user logged in or asked for it by name."""
    mode = os.environ.get("WANDB_MODE")
    if mode:
        return mode != "online"
    return not wandb.login(prompt=False, verify=False)


def git_state() -> dict[str, Any]:
    """The commit of this checkout and whether files differ from it; empty outside of one."""

    def git(*command: str) -> str:
        return subprocess.run(
            ["git", *command],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def hardware() -> dict[str, Any]:
    """The machine: platform, processor cores, and accelerators by name."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
    }


def replace_file(path: Path, text: str) -> None:
    """Writes a file so that it is at any time the old one or the new one."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)


class MetricsFile(Logger):
    """Appends every logged row to `metrics.jsonl`: {"step": ..., "epoch": ..., "val/loss": ...}.

    Lightning's CSVLogger deletes the rows that it finds in a folder that a run resumes in, and
    rewrites the whole file when a new key appears. This one only appends, and loses nothing when
    the process is killed.

    Args:
        folder: where the file is
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.path = Path(folder) / "metrics.jsonl"

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
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")

    @rank_zero_only
    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        """Nothing: they are in config.yaml."""

    @classmethod
    def rewind(cls, folder: Path, step: int) -> None:
        """Drops the rows of the steps that a run resumed at `step` will train again."""
        path = folder / "metrics.jsonl"
        if not path.is_file():
            return
        kept = []
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:  # cut off by the kill
                continue
            if row["step"] < step or any(key.startswith("test/") for key in row):
                kept.append(line + "\n")
        replace_file(path, "".join(kept))


class SaveConfig(SaveConfigCallback):
    """Writes the resolved config to the run's folder and to its loggers.

    Lightning's own writes one `config.yaml` for all runs of a WandbLogger, and refuses the second.

    Args:
        resolved: the config with all defaults, YAML
        kwargs: as LightningCLI gives them
    """

    def __init__(self, *args: Any, resolved: str, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.resolved = resolved

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        folder = Path(trainer.default_root_dir)
        facts = json.loads((folder / "run.json").read_text())
        for logger in trainer.loggers:
            logger.log_hyperparams({**yaml.safe_load(self.resolved), "run": facts})
        if stage == "fit":
            replace_file(folder / "config.yaml", self.resolved)


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
    """Replaces a checkpoint only by a complete one.

    Lightning's own writes to TMPDIR first; when that is on another file system, the move is a
    copy, and a process killed during it leaves an unreadable file.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: object | None = None,
    ) -> None:
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        partial = f"{path}.partial"
        torch.save(checkpoint, partial)
        os.replace(partial, path)
