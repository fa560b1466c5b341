"""The arguments that every recipe's subcommands have beside model, data and Trainer."""

from enum import Enum
from pathlib import Path

import torch
import yaml
from jsonargparse.typing import register_type, restricted_number_type
from lightning.pytorch.cli import LightningArgumentParser

# What Lightning's callbacks have as defaults, and YAML does not know.
register_type(torch.device)
yaml.SafeDumper.add_multi_representer(
    Enum, lambda dumper, value: dumper.represent_data(value.value)
)

Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])  # that NumPy takes


def add_run_arguments(parser: LightningArgumentParser) -> None:
    """Adds the seed, and what a run is called and found by."""
    parser.add_argument(
        "--seed_everything",
        type=Seed,
        default=0,
        help="Seed of the initialisation, the order of the data, augmentation and dropout.",
    )
    parser.add_argument(
        "--name",
        type=str | None,
        help="Name of the run's folder, <root>/<recipe>/<name>; by default the config's, or "
        "that of the file of --data.path, numbered. The root is --trainer.default_root_dir, "
        "by default runs.",
    )
    parser.add_argument(
        "--group", type=str | None, help="What W&B groups the run by; by default the recipe."
    )
    parser.add_argument(
        "--tags",
        type=list[str] | None,
        help="What W&B finds the run by; by default the recipe, the data and what the "
        "model is made of.",
    )


def help_of_config(default: Path | None) -> str:
    """What --help says of --config.

    Args:
        default: the config that runs without any
    """
    return (
        "A YAML file, or the bare name of one shipped with the recipe; may be given several "
        "times, later ones override earlier ones."
        + (f" Without any, {default.stem}." if default else "")
    )
