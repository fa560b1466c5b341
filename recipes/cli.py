"""The command line that every recipe shares: LightningCLI, with one folder a run.

Settings override each other in this order: the constructors' defaults; the recipe's embedded
default, where no --config is given; the checkpoint of --ckpt_path; each --config in turn; flags.
"""

import argparse
import inspect
import json
import os
import sys
import time
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import wandb
from jsonargparse import ArgumentError
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.utilities import rank_zero_only

import datamodules  # noqa: F401 - its class names are known to the parser once it is imported
import recipes.networks  # noqa: F401
from callbacks import KeyedNoise, WritePredictions
from recipes.run import AtomicCheckpointIO, LastCheckpoint, MetricsFile, Run, SaveConfig

EMBEDDED_DEFAULT = "digits"


class RecipeCLI(LightningCLI):
    """LightningCLI for one recipe.

    Args:
        module: the recipe's LightningModule
        args: command-line arguments, those of the process by default
    """

    def __init__(self, module: type[LightningModule], args: list[str] | None = None) -> None:
        self.folder = Path(inspect.getfile(module)).parent
        card = sys.modules[module.__module__.rpartition(".")[0]].__doc__
        super().__init__(
            module,
            LightningDataModule,
            subclass_mode_data=True,
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={"callbacks": [KeyedNoise(), WritePredictions()]},
            parser_kwargs={"description": card, "exit_on_error": False}
            | {name: {"exit_on_error": False} for name in self.subcommands()},
            auto_configure_optimizers=False,
            args=args,
        )

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--seed_everything",
            type=int,
            default=0,
            help="Seed of the initialisation, the order of the data, augmentation and dropout.",
        )
        parser.add_argument(
            "--name",
            type=str | None,
            help="Name of the run's folder, <root>/<recipe>/<name>; by default the config's, "
            "numbered. The root is --trainer.default_root_dir, by default runs.",
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("seed_everything", "data.init_args.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        arguments = list(sys.argv[1:] if args is None else args)
        self.sources = [EMBEDDED_DEFAULT]
        if arguments and arguments[0] in self.subcommands():
            arguments[1:] = self._in_order(arguments[1:])
        self.config = parser.parse_args(arguments)

    def _in_order(self, flags: list[str]) -> list[str]:
        """The arguments with all sources of settings as configs, those that give way first."""
        known = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        known.add_argument("-c", "--config", action="append", default=[])
        known.add_argument("--ckpt_path")
        given, flags = known.parse_known_args(flags)
        configs = [shipped_config(name, self.folder) for name in given.config]
        if configs:
            self.sources = [Path(path).stem for path in configs]
        run = Run.of_checkpoint(given.ckpt_path)
        if not configs:
            resolved = run / "config.yaml" if run else None
            embedded = self.folder / f"{EMBEDDED_DEFAULT}.yaml"
            base = [str(resolved if resolved and resolved.is_file() else embedded)]
        else:
            base = []
        if given.ckpt_path:
            base.append(checkpoint_config(given.ckpt_path, self._model_class))
            flags = [*flags, f"--ckpt_path={given.ckpt_path}"]
        return [f"--config={config}" for config in base + configs] + flags

    def _parse_ckpt_path(self) -> None:
        """Nothing: Lightning would let the checkpoint override the command line."""

    def before_instantiate_classes(self) -> None:
        config = self.config[self.subcommand]
        refuse_absent_devices(config.trainer)
        shown = config.clone()
        shown.name = shown.ckpt_path = None  # so that it can be run again, in a folder of its own
        text = self._parser(self.subcommand).dump(shown, skip_none=False)
        self.save_config_kwargs["resolved"] = text
        self.run = self._open_run(config)
        facts = {} if self.is_helper else self.run.describe(config.seed_everything)
        config.trainer.logger = self.run.loggers(config.trainer.logger, facts)

    @property
    def is_helper(self) -> bool:
        """Whether this process writes nothing: a further process of a run, or a dry run."""
        return rank_zero_only.rank > 0 or bool(self.config[self.subcommand].trainer.fast_dev_run)

    def _open_run(self, config: Any) -> Run:  # noqa: ANN401 - jsonargparse's Namespace
        recipe, sources = self.folder.name, "-".join(self.sources)
        folder = None if config.name else Run.of_checkpoint(config.ckpt_path)
        if folder is None:
            root = Path(config.trainer.default_root_dir or "runs")
            return Run.start(root, recipe, sources, config.name, create=not self.is_helper)
        if self.subcommand == "fit" and not self.is_helper:
            step = torch.load(config.ckpt_path, map_location="cpu", weights_only=True)
            MetricsFile.rewind(folder, step["global_step"])
        return Run(folder, recipe, sources)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401 - as in LightningCLI
        config = self.config_init[self.subcommand].trainer
        plugins = config.plugins or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins = [*plugins, AtomicCheckpointIO()]
        if config.enable_checkpointing is not False:
            callbacks = config.callbacks or []
            callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
            config.callbacks = [*callbacks, LastCheckpoint(self.run.folder)]
        return super().instantiate_trainer(
            default_root_dir=str(self.run.folder), plugins=plugins, **kwargs
        )

    def _run_subcommand(self, subcommand: str) -> None:
        if self.is_helper:
            super()._run_subcommand(subcommand)
            return
        print(f"run folder: {self.run.folder}", flush=True)
        start = time.monotonic()
        super()._run_subcommand(subcommand)
        seconds = time.monotonic() - start
        print(f"run folder: {self.run.folder} ({subcommand} took {seconds:.0f} s)", flush=True)


def shipped_config(name: str, folder: Path) -> str:
    """The path of a config: a file, or one shipped with the recipe or for the hardware by name.

    Raises:
        FileNotFoundError: if there is neither; it lists the shipped names
    """
    if Path(name).is_file():
        return name
    shipped = {path.stem: str(path) for path in sorted(folder.glob("*.yaml"))}
    if name not in shipped:
        raise FileNotFoundError(f"--config={name}: no such file; shipped: {', '.join(shipped)}")
    return shipped[name]


def checkpoint_config(path: str, module: type[LightningModule]) -> str:
    """What a checkpoint says of model and data, as a config, in JSON.

    Raises:
        FileNotFoundError: if there is no such file
        ValueError: if it is damaged, or of another recipe
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"--ckpt_path={path}: no such file")
    try:
        # A zip archive with checksums, which torch.load does not look at.
        damaged = zipfile.ZipFile(path).testzip()
        saved = {} if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, RuntimeError, UnpicklingError) as error:
        raise ValueError(f"--ckpt_path={path} is damaged: {error}") from error
    if damaged:
        raise ValueError(f"--ckpt_path={path} is damaged: {damaged} in it has a wrong checksum")
    model = saved.get("hyper_parameters", {})
    model.pop("_instantiator", None)
    strangers = set(model) - set(inspect.signature(module).parameters)
    if strangers:
        raise ValueError(f"--ckpt_path={path} is of another recipe: {', '.join(strangers)}")
    config: dict[str, Any] = {"model": model}
    data = saved.get("datamodule_hyper_parameters", {})
    data.pop("_instantiator", None)
    if class_path := data.pop("_class_path", None):
        data.pop("seed", None)  # follows seed_everything
        config["data"] = {"class_path": class_path, "init_args": data}
    return json.dumps(config)


def refuse_absent_devices(trainer: Any) -> None:  # noqa: ANN401 - jsonargparse's Namespace
    """Raises ValueError if more CPU processes are asked for than there are cores.

    Lightning would start them all: 99 processes take a machine down.
    """
    devices, cores = trainer.devices, len(os.sched_getaffinity(0))
    on_cpu = trainer.accelerator == "cpu" or (
        trainer.accelerator == "auto" and not torch.accelerator.is_available()
    )
    if on_cpu and str(devices).isdigit() and int(devices) > cores:
        raise ValueError(f"--trainer.devices={devices}: this machine has {cores} cores")


def one_line(error: BaseException) -> str:
    """An error's message without line breaks, and its kind where the message alone says little."""
    text = " ".join(str(error).split())
    if isinstance(error, (ArgumentError, ValueError, OSError)) and text:
        return text
    return f"{type(error).__name__}: {text}"


def main(module: type[LightningModule], args: list[str] | None = None) -> None:
    """Runs a recipe's command line; a mistake of the user's ends it with one line.

    Args:
        module: the recipe's LightningModule
        args: command-line arguments, those of the process by default

    Raises:
        SystemExit: with status 1 after an error, 130 after Ctrl-C, 143 after a termination signal
    """
    status = 1
    try:
        cli = RecipeCLI(module, args)
        status = 143 if cli.trainer.interrupted else 0
    except Exception as error:
        if os.environ.get("RECIPES_DEBUG"):
            raise
        sys.exit(f"error: {one_line(error)}")
    finally:
        if wandb.run is not None:
            wandb.finish(exit_code=status)
    if status:
        sys.exit(status)
