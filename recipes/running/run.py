"""A run: the name of its folder, its loggers, and the facts of where its numbers come from."""

import json
import os
import platform
import re
import secrets
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import wandb
from jsonargparse import Namespace
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_warn

from recipes.parts.files import keep, replace_file
from recipes.parts.keys import config_hash, dotted
from recipes.running.folders import PROJECT, left_behind, new_folder, read_facts
from recipes.running.machine import hardware
from recipes.running.recipe import Recipe
from recipes.running.restart import job

PACKAGES = ("torch", "lightning", "torchmetrics", "wandb", "jsonargparse")
OF_WANDB = ("recipe", "config", "group", "job_type", "tags", "wandb_id")  # facts that it needs


@dataclass
class Run:
    """One folder, and what is known of the run in it.

    Attributes:
        folder: `<root>/<recipe>/<name>`; everything that the run writes is below it
        facts: where its numbers come from, as in its run.json
        is_new: whether it begins now, and does not go on
        was_there: whether a run that was killed before its first checkpoint has left the folder
        is_damaged: whether its run.json cannot be read
        above: the folders that were made with it, around it, the innermost first
    """

    folder: Path
    facts: dict[str, Any]
    is_new: bool = True
    was_there: bool = False
    is_damaged: bool = False
    above: tuple[Path, ...] = ()

    @classmethod
    def open(
        cls,
        config: Namespace,
        folder: Path | None,
        recipe: Recipe,
        config_name: str,
        command: list[str],
        settings: dict[str, Any],
        writes: bool,
    ) -> "Run":
        """The run to go on with, or a new one.

        Args:
            config: the subcommand's
            folder: of the run to go on with; a --name makes a new one all the same
            recipe: that is run
            config_name: names of the configs, joined by dashes
            command: the arguments, from the subcommand on
            settings: the whole resolved config, `dotted`
            writes: whether this process makes the folder; the files in it are made later

        Raises:
            FileExistsError: if there is a run of the given name
        """
        now = {
            "seed": int(config.seed_everything),
            "command": recipe.typed(command),
            **circumstances(recipe.folder),
            "config_hash": config_hash(settings),
        }
        parent = Path(config.trainer.default_root_dir or "runs") / recipe.name
        facts = {
            "recipe": recipe.name,
            "config": config_name,
            "group": config.group or recipe.name,
            "job_type": config_name,
            "tags": config.tags or tags(recipe.name, settings),
            "wandb_id": wandb_id(),
            **now,
            "settings": settings,
        }
        if folder is not None and not config.name:
            return cls.going_on(folder, facts, now)
        if not writes:
            return cls(parent / (config.name or config_name), facts)
        if config.name and command[0] == "fit":
            if (left := left_behind(parent / config.name, facts)) is not None:
                return cls(parent / config.name, facts | left, was_there=True)
        above = tuple(each for each in (parent, *parent.parents) if not each.exists())
        return cls(new_folder(parent, config_name, config.name), facts, above=above)

    @classmethod
    def going_on(cls, folder: Path, facts: dict[str, Any], now: dict[str, Any]) -> "Run":
        """The run of a folder; if its run.json is damaged, one with the facts of a new run.

        Args:
            folder: of the run
            facts: of a new run
            now: those of this process
        """
        run = cls(folder, {name: facts[name] for name in OF_WANDB}, is_new=False)
        run.facts |= run.read_facts()
        if run.is_damaged:
            run.facts = dict(facts)
        run.facts["continued"] = [*run.facts.get("continued", []), now]
        run.facts.pop("finished", None)
        run.facts |= {"config_hash": now["config_hash"], "settings": facts["settings"]}
        return run

    def read_facts(self) -> dict[str, Any]:
        """What run.json says; nothing if it is damaged, which is told."""
        try:
            return read_facts(self.folder)
        except ValueError as error:
            rank_zero_warn(f"{error}: the run goes on without it")
            self.is_damaged = True
            return {}

    def write_facts(self) -> None:
        """Writes run.json; a damaged one is kept beside it."""
        if self.is_damaged:
            rank_zero_warn(f"the damaged run.json is kept as {keep(self.folder / 'run.json')}")
            self.is_damaged = False
        replace_file(self.folder / "run.json", json.dumps(self.facts, indent=1) + "\n")

    def note(self, loggers: list[Logger], **facts: Any) -> None:  # noqa: ANN401 - plain values
        """Adds to what is known of the run, in its run.json and in W&B.

        That it has "finished" is known at last, so that its job does not go on with it.
        """
        # The process that trains may be another than the one that notes that it has.
        self.facts |= self.read_facts() | facts
        self.write_facts()
        for logger in loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(dotted({"run": facts}))

    def discard_if_empty(self) -> None:
        """Removes a folder made for this process, unless it holds metrics or checkpoints."""
        kept = [*self.folder.glob("*.jsonl"), *self.folder.rglob("*.ckpt")]
        if not self.is_new or self.was_there or kept:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in self.above:
            with suppress(OSError):  # by now another run's is in it
                folder.rmdir()

    def loggers(self, config: Namespace, subcommand: str) -> list[Namespace] | bool:
        """The config of the run's loggers: W&B or the chosen ones, and the metrics file.

        What a chosen WandbLogger leaves open is filled in; everything else stays as it is.

        Args:
            config: the subcommand's
            subcommand: fit writes metrics.jsonl, the others a file of their own name
        """
        chosen = config.trainer.logger
        if chosen is False or config.trainer.barebones:
            return False
        if chosen in (None, True):
            init = Namespace(offline=wandb_mode() == "offline")
            chosen = Namespace(class_path="lightning.pytorch.loggers.WandbLogger", init_args=init)
        loggers = chosen if isinstance(chosen, list) else [chosen]
        for logger in loggers:
            if logger.class_path.endswith(".WandbLogger"):
                self._fill_wandb(logger)
                if logger.class_path.startswith("lightning."):
                    logger.class_path = "recipes.running.tracker.WandbRun"
        name = "metrics" if subcommand == "fit" else subcommand
        evaluated = None if subcommand == "fit" else config.ckpt_path
        init = Namespace(path=str(self.folder / f"{name}.jsonl"), checkpoint=evaluated)
        return [*loggers, Namespace(class_path="recipes.running.rows.MetricsFile", init_args=init)]

    def _fill_wandb(self, logger: Namespace) -> None:
        init = logger.init_args
        if init.get("save_dir") in (None, "."):
            init.save_dir = str(self.folder)
        if not (init.get("version") or init.get("id")):
            init.id = self.facts["wandb_id"]
        init.name = init.get("name") or self.folder.name
        init.project = init.get("project") or os.environ.get("WANDB_PROJECT", PROJECT)
        settings = {name: self.facts[name] for name in ("group", "job_type", "tags")}
        # wandb reads WANDB_MODE only once in a process, and Lightning's offline wins over it.
        mode = "offline" if init.get("offline") else os.environ.get("WANDB_MODE")
        silent = mode not in (None, "online")  # its hints are for the logged-in
        wandb.termsetup(wandb.Settings(silent=silent), None)
        settings["settings"] = {"silent": silent, "console": "off", "init_timeout": 30}
        if mode:
            settings["settings"]["mode"] = mode
        logger.dict_kwargs = {**settings, **(logger.get("dict_kwargs") or {})}


def circumstances(folder: Path) -> dict[str, Any]:
    """Job, commit, versions, hardware and number of this process.

    Args:
        folder: of the recipe, whose commit it is
    """
    return {
        **({"job": name} if (name := job()) else {}),
        **git_state(folder),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "hardware": hardware(),
        "process": {"host": platform.node(), "id": os.getpid()},
    }


def wandb_id() -> str:
    """The id of a new W&B run: the one that a sweep's agent expects results of, or a random one."""
    agent = os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None
    return agent or secrets.token_hex(4)


def tags(recipe: str, settings: dict[str, Any]) -> list[str]:
    """What to find a run by: its recipe, its data, and what its model is made of.

    Args:
        recipe: the technique
        settings: `dotted`
    """
    names = [
        value.rpartition(".")[2]
        for key, value in settings.items()
        if re.fullmatch(r"data\.class_path|model\.(\w+\.class_path|scheme|loss)", key) and value
    ]
    return list(dict.fromkeys([recipe, *names]))


def wandb_mode() -> str:
    """W&B's mode: WANDB_MODE, or online where the user has logged in, or offline."""
    if mode := os.environ.get("WANDB_MODE"):
        return "offline" if mode == "dryrun" else mode  # its old name, which Lightning sets
    return "online" if wandb.login(prompt=False, verify=False) else "offline"


@cache
def git_state(folder: Path) -> dict[str, Any]:
    """The commit of the checkout that a folder is in, and whether files differ from it.

    Empty outside of one. Asked once in a process: its code is the one that it has imported.
    """

    def git(*command: str) -> str:
        result = subprocess.run(["git", *command], cwd=folder, capture_output=True, check=True)
        return result.stdout.decode().strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {}
