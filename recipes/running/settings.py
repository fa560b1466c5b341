"""Where settings come from, and which of them gives way to which.

From the weakest to the strongest: the constructors' defaults; the base config (the run's own where
--ckpt_path lies in a run's folder, otherwise the recipe's embedded default), if no --config of the
recipe is given; the checkpoint's hyperparameters; each --config in turn; flags. Lightning's own
order lets the checkpoint override the flags (pytorch-lightning #21455).

A config of the folder hardware/ is an overlay: it says where and how fast the recipe runs, and
leaves what is run to the others.
"""

import argparse
import inspect
import json
import os
from pathlib import Path
from typing import Any

from recipes.parts.checkpoints import read_checkpoint
from recipes.running.config_files import read_config
from recipes.running.recipe import SHIPPED, Recipe

HARDWARE = SHIPPED / "hardware"


def in_order(
    flags: list[str], recipe: Recipe
) -> tuple[list[str], str, Path | None, dict[str, Any]]:
    """A subcommand's arguments with all sources of settings as configs, the weakest first.

    Args:
        flags: the arguments as the user gave them
        recipe: that is run

    Returns:
        the arguments; the name of what they configure: the configs' names, joined by dashes; the
        folder of the run that they go on with: the checkpoint's, if no config of the recipe is
        given; and what the checkpoint was trained with, nothing without one

    Raises:
        ValueError, OSError: if a config or the checkpoint does not exist or is damaged
    """
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    known.add_argument("-c", "--config", action="append", default=[])
    known.add_argument("--ckpt_path")
    given, flags = known.parse_known_args(flags)
    configs = [shipped_config(name, recipe) for name in given.config]
    checkpoint = given.ckpt_path and os.path.expanduser(given.ckpt_path)
    names_recipe = any(Path(path).resolve().parent != HARDWARE for path in configs)
    run = None if names_recipe else run_of(checkpoint)
    default = recipe.default
    names = [] if names_recipe else [default.stem if default else recipe.name]
    name = "-".join([*names, *(Path(path).stem for path in configs)])
    base, saved = [], {}
    if checkpoint:
        saved = checkpoint_config(checkpoint, recipe)
        base = [json.dumps(saved)]
        flags = [f"--ckpt_path={checkpoint}", *flags]
    if not names_recipe and (run or default):
        base.insert(0, str(run / "config.yaml" if run else default))
    return [f"--config={config}" for config in base + configs] + flags, name, run, saved


def run_of(checkpoint: str | None) -> Path | None:
    """The folder of the run that a checkpoint belongs to, if it lies in one."""
    if not checkpoint:
        return None
    folder = Path(os.path.relpath(Path(checkpoint).resolve().parent.parent))
    files = ("run.json", "config.yaml")
    return folder if all((folder / name).is_file() for name in files) else None


def shipped_config(name: str, recipe: Recipe) -> str:
    """The path of a config: a file, or by its bare name one shipped with the recipe, or an overlay.

    Raises:
        FileNotFoundError: if there is neither; it lists the shipped names
        ValueError: if the file is no config
    """
    if Path(name).is_file():
        read_config(name)
        return name
    shipped = recipe.configs | {path.stem: path for path in sorted(HARDWARE.glob("*.yaml"))}
    if name not in shipped:
        raise FileNotFoundError(f"--config={name}: no such file; shipped: {', '.join(shipped)}")
    return str(shipped[name])


def checkpoint_config(path: str, recipe: Recipe) -> dict[str, Any]:
    """What a checkpoint says of model, data and seed, as a config.

    Raises:
        FileNotFoundError: if there is no such file
        ValueError: if it is damaged, or of another recipe
    """
    saved = read_checkpoint(path, "--ckpt_path")
    model = saved.get("hyper_parameters", {})
    model.pop("_instantiator", None)
    strangers = set(model) - set(inspect.signature(recipe.module).parameters)
    if strangers:
        raise ValueError(f"--ckpt_path={path} is of another recipe: {', '.join(strangers)}")
    config: dict[str, Any] = {"model": model}
    noise = saved.get("callbacks", {}).get("KeyedNoise", {})
    if "seed" in noise:
        config["seed_everything"] = noise["seed"]
    data = saved.get("datamodule_hyper_parameters", {})
    data.pop("_instantiator", None)
    if class_path := data.pop("_class_path", None):
        data.pop("seed", None)  # follows seed_everything
        config["data"] = {"class_path": class_path, "init_args": data}
    return config
