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
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from jsonargparse import set_parsing_settings

from recipes.parts.checkpoints import named_beside, read_checkpoint
from recipes.parts.configs import read_config, run_of
from recipes.parts.hyperparameters import is_plain
from recipes.parts.keys import dotted
from recipes.parts.trust import Trust, strings
from recipes.parts.weights import STARTS
from recipes.running.config_files import (
    choose_recipe,
    config_name,
    read_config_file,
    shipped_config,
)
from recipes.running.flags import pairs, read_value
from recipes.running.recipe import Recipe


def fetch_nothing() -> None:
    """Lets a setting name a local file of settings at most, and no address.

    Lightning's command line turns on all that fsspec opens, http:// and memory:// among it, for
    every setting that is a class, also within a file.
    """
    set_parsing_settings(config_read_mode_urls_enabled=False, config_read_mode_fsspec_enabled=False)


def in_order(
    flags: list[str], recipe: Recipe
) -> tuple[list[str], str, Path | None, dict[str, Any]]:
    """A subcommand's arguments with all sources of settings as configs, the weakest first.

    Args:
        flags: the arguments as the user gave them
        recipe: that is run

    Returns:
        the arguments; the `config_name` of what they configure; the folder of the run that they go
        on with: the checkpoint's, if no config of the recipe is given; and what the checkpoint was
        trained with, nothing without one

    Raises:
        ValueError, OSError: if a config or the checkpoint does not exist or is damaged
    """
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    known.add_argument("-c", "--config", action="append", default=[])
    known.add_argument("--ckpt_path")
    given, flags = known.parse_known_args(flags)
    configs = [shipped_config(name, recipe) for name in given.config]
    checkpoint = given.ckpt_path and os.path.expanduser(given.ckpt_path)
    names_recipe, name = choose_recipe(configs), config_name(configs, flags, recipe)
    run = None if names_recipe else run_of(checkpoint)
    default = recipe.default
    base, saved = [], {}
    if run:
        read_config(run)
    if checkpoint:
        saved = checkpoint_config(checkpoint, recipe, trust(checkpoint, recipe, configs, flags))
        base = [json.dumps(saved)]
        flags = [f"--ckpt_path={checkpoint}", *flags]
    if not names_recipe and (run or default):
        base.insert(0, str(run / "config.yaml" if run else default))
    refuse_linked(configs, flags)
    configs = base + configs
    if not checkpoint:
        configs = without_networks(configs, flags, recipe)
    return [f"--config={config}" for config in configs] + flags, name, run, saved


def refuse_linked(configs: list[str], flags: list[str]) -> None:
    """Refuses what would be replaced by another setting, without a word.

    Raises:
        ValueError: with the setting that it follows
    """
    for key, value in given(configs, flags):
        if key == "data.seed":
            raise ValueError(f"--data.seed={value} follows --seed_everything: give that")


def trust(checkpoint: str, recipe: Recipe, configs: list[str], flags: list[str]) -> Trust:
    """What a checkpoint may name beside what is known: what is given with it, and beside it.

    Args:
        checkpoint: its path; the config.yaml of the run that it lies in counts as given
        recipe: that is run
        configs: paths of those that are given
        flags: further arguments
    """
    pairs = list(given(configs, flags))
    names = {name for _, value in pairs for name in strings(value)}
    with suppress(ValueError):  # a damaged one names nothing
        names |= named_beside(checkpoint)
    keys, source = frozenset(key for key, _ in pairs), f"--ckpt_path={checkpoint}"
    return Trust(source, frozenset(names), keys, recipe.packages)


def given(configs: list[str], flags: list[str]) -> Iterator[tuple[str, Any]]:
    """The settings that configs and flags give: the option without its dashes, and the value.

    Args:
        configs: paths
        flags: further arguments
    """
    contents = map(read_config_file, configs)
    found = [pair for content in contents for pair in dotted(content).items()]
    found += [(key.removesuffix("+"), read_value(text)) for key, text in pairs(flags)]
    for key, value in found:
        yield key.replace("init_args.", "").removesuffix(".class_path"), value


def without_networks(configs: list[str], flags: list[str], recipe: Recipe) -> list[str]:
    """Configs, of which the shipped ones name no network that the user gives a checkpoint of.

    It brings its own: `teacher_checkpoint` that of `teacher`.

    Args:
        configs: paths, the weakest first
        flags: further arguments
        recipe: that is run
    """
    shipped = {str(path) for path in recipe.configs.values()}
    own = dict(given([path for path in configs if path not in shipped], flags))
    parameters = inspect.signature(recipe.module).parameters
    dropped = {}
    for option in parameters:
        network = option.removesuffix("_checkpoint")
        if network != option and network in parameters and own.get(f"model.{option}") is not None:
            if not any(f"{key}.".startswith(f"model.{network}.") for key in own):
                dropped[network] = None
    last = max((i for i, path in enumerate(configs, 1) if path in shipped), default=0)
    if not (dropped and last):
        return configs
    return [*configs[:last], json.dumps({"model": dropped}), *configs[last:]]


def checkpoint_config(path: str, recipe: Recipe, trust: Trust) -> dict[str, Any]:
    """What a checkpoint says of model, data and seed, as a config.

    Args:
        path: of the checkpoint
        recipe: that is run
        trust: what it may name

    Raises:
        FileNotFoundError: if there is no such file
        ValueError: if it is damaged, of another recipe, or names what it may not
    """
    saved = read_checkpoint(path, "--ckpt_path")
    model, data = (saved.get(f"{of}hyper_parameters", {}) for of in ("", "datamodule_"))
    if not all(isinstance(value, dict) and is_plain(value) for value in (model, data)):
        raise ValueError(f"--ckpt_path={path}: its hyperparameters are no plain values")
    # It has the weights that were trained, whatever they started from.
    model = {k: v for k, v in model.items() if k not in ("_instantiator", *STARTS)}
    strangers = set(model) - set(inspect.signature(recipe.module).parameters)
    if strangers:
        raise ValueError(f"--ckpt_path={path} is of another recipe: {', '.join(strangers)}")
    config: dict[str, Any] = {"model": trust.permitted(model, "model", recipe.module)}
    noise = saved.get("callbacks", {}).get("KeyedNoise", {})
    if "seed" in noise:
        config["seed_everything"] = int(noise["seed"])
    if class_path := data.get("_class_path"):
        # The seed follows seed_everything.
        names = data.keys() - {"_class_path", "_instantiator", "seed"}
        init_args = {name: data[name] for name in sorted(names)}
        of_data = {"data": {"class_path": class_path, "init_args": init_args}}
        config |= trust.permitted(of_data, "")
    return config
