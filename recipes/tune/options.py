"""The options of a search."""

import argparse
import math
from pathlib import Path

from recipes.running.mistakes import Parser
from recipes.tune import __doc__ as card

TRIALS = 20  # unless the command or the space says how many
# What each trial is given by the search.
RESERVED = ("--name", "--group", "--ckpt_path", "--print_config")
OPTIONS = {
    "recipe": {
        "required": True,
        "help": "Such as distill, or the module of your own, such as lab.vae.",
    },
    "config": {
        "action": "append",
        "default": [],
        "help": "Of each trial's fit; may be given several times.",
    },
    "space": {
        "type": Path,
        "help": "A file in the format of W&B Sweeps; by default the recipe's sweep.yaml.",
    },
    "trials": {
        "type": int,
        "help": "How many in all, with those that have ended before and those of other processes; "
        f"by default the space's run_cap, all of a grid, or {TRIALS}.",
    },
    "jobs": {"type": int, "default": 1, "help": "Trials at once, each a process; by default 1."},
    "sampler": {
        "choices": ("grid", "random", "tpe", "gp"),
        "help": "What draws: a grid, at random, a tree-structured Parzen estimator or a Gaussian "
        "process; by default the space's method, tpe for bayes.",
    },
    "pruner": {
        "choices": ("none", "median", "halving", "hyperband"),
        "help": "What gives a trial up: nothing, being worse than the median, successive halving "
        "(what W&B calls hyperband) or several halvings; by default the space's early_terminate.",
    },
    "study": {
        "help": "Its name, the runs' group, and with a number their names; by default tune and "
        "the configs' names.",
    },
    "storage": {
        "help": "URL of where the study is kept, for several machines: a database's as SQLAlchemy "
        "has it, or journal:<file>; by default sqlite:///runs/<recipe>/<study>/study.db.",
    },
    "metric": {"help": "Log key to look at; by default the space's."},
    "goal": {
        "choices": ("minimize", "maximize"),
        "help": "By default the space's, or what the metric's name says.",
    },
    "value": {
        "choices": ("last", "best"),
        "default": "last",
        "help": "A trial's value: the metric at its last validation, which is what its fit gives "
        "you (the default), or the best of all.",
    },
    "seed": {
        "type": int,
        "default": 0,
        "help": "Of the draws; the training's is --seed_everything. By default 0.",
    },
    "timeout": {
        "type": float,
        "default": math.inf,
        "help": "Seconds after which no trial is begun; those that run come to their end.",
    },
    "grace": {
        "type": float,
        "default": 60.0,
        "help": "Seconds after which a trial without a sign of life is run again; by default 60.",
    },
}


def parse(args: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The search's own options, and what is left for each trial's fit.

    Raises:
        ValueError: if an option is not accepted
    """
    parser = Parser("tune", card)
    parser.epilog = "Any other option is of each trial's fit: --trainer.max_epochs=60"
    for name, settings in OPTIONS.items():
        metavar = {} if "choices" in settings else {"metavar": name.upper()}
        parser.add_argument(f"--{name}", **metavar, **settings)
    given, flags = parser.parse_known_args(args)
    for reserved in RESERVED:
        if any(f.split("=")[0] == reserved for f in flags):
            raise ValueError(f"{reserved}: trials have their own, --study names them")
    if flags and not flags[0].startswith("--"):
        raise ValueError(f"{flags[0]}: options of each trial's fit go as --key=value, without fit")
    for name, least in {"trials": 1, "jobs": 1, "seed": 0, "grace": 1e-3, "timeout": 0}.items():
        if (number := getattr(given, name)) is not None and number < least:
            raise ValueError(f"--{name}={number}: at least {least}")
    return given, flags
