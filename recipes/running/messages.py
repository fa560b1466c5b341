"""What the command line says: help that is short, errors that are one line, and no noise."""

import argparse
import logging
import os
import re
import warnings
from collections.abc import Sequence
from difflib import get_close_matches

import wandb
from jsonargparse import ArgumentError, DefaultHelpFormatter
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.multiprocessing import ProcessRaisedException

from recipes.parts.brief import brief
from recipes.parts.keys import OURS
from recipes.running.blame import located, missing
from recipes.running.diagnosis import diagnose
from recipes.running.recipe import recipe_names

# What Lightning says on every run: advertisements, the seed, what hardware there is not, the end.
NOISE = r"litlogger|Tip: |^(\[rank: \d+\] )?Seed set|^[GT]PU available: False|=\d+` reached"
# Errors whose text says all.
KNOWN = (argparse.ArgumentError, ArgumentError, ValueError, OSError, FloatingPointError)
KNOWN += (MisconfigurationException,)


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that keeps a recipe's card as it is written, and lists this project's classes alone.

    jsonargparse lists every known subclass with its module: 400 lines of torch.nn for each network.
    """

    def _get_help_string(self, action: argparse.Action) -> str | None:
        def ours(match: re.Match[str]) -> str:
            names = match.group(1).split(", ")
            if len(names) < 20:
                return match.group(0)
            # A recipe's own networks fit no other; what runs them is no user's choice.
            inner = (*recipe_names(), "running")
            names = [name for name in names if name.startswith(OURS)]
            names = [name for name in names if name.split(".")[1] not in inner]
            return f", known: {', '.join(n.rpartition('.')[2] for n in names)}" if names else ""

        text = super()._get_help_string(action)
        return text and re.sub(r", known subclasses: ([\w., ]+)", ours, text)


def one_line(
    error: BaseException,
    parser: LightningArgumentParser | None = None,
    command: Sequence[str] = (),
) -> str:
    """What to tell a user of an error: what is wrong, and which option or file it is.

    Args:
        error: what was raised
        parser: of the subcommand, if it is known: mistyped options are compared with its own
        command: the arguments as typed, if they are known: what names no option may be of one
    """
    if isinstance(error, ProcessRaisedException):  # of a forked process, with its traceback
        last = str(error).strip().splitlines()[-1]
        kind, _, said = last.partition(": ")
        return said if kind in {known.__name__ for known in KNOWN} else last
    known = unfetched(str(error)) or unnamed(str(error)) or without_kernel(str(error))
    if said := known or diagnose(str(error), parser):
        return said
    text = brief(str(error).replace("typing.", ""))
    text = re.sub(r"`Fabric\(\.\.\., precision='([\w-]+)'\)`", r"--trainer.precision=\1", text)
    text = required(text)
    if unfit := re.match(r"Error\(s\) in loading state_dict for (\w+): (.*)", text):
        given = [word for word in command if word.startswith(("--model", "--config"))]
        said = f"the weights of --ckpt_path do not fit {' '.join(given) or unfit[1]}: {unfit[2]}"
        return brief(said)
    if parser and (unknown := re.fullmatch(r"unrecognized arguments: (--[\w.]+).*", text)):
        options = [option for action in parser._actions for option in action.option_strings]
        if close := get_close_matches(unknown[1], options, n=1, cutoff=0.7):
            text += f"; is it {close[0]}?"
    if isinstance(error, wandb.errors.CommError):
        return f"W&B cannot be reached, WANDB_MODE=offline does without: {text}"
    if "--" not in text:
        text = located(error, text, command)
    if package := missing(text):
        who = re.match(r"(--[\w.]+\+?=\w+)|`(\w+)`", text)
        what = f"{who[1] or who[2]} needs {package}" if who else f"{package} is not installed"
        return f"{what}: pip install {package}"
    if text and (isinstance(error, KNOWN) or text.startswith("--")):
        return text
    return f"{type(error).__name__}: {text}"


def unfetched(text: str) -> str | None:
    """That an address was given for a setting that is a class, if jsonargparse says so."""
    owner = re.search(r'Parser key "([\w.]+)"', text)
    given = re.search(r"(?:Expected a path but|Unable to load config) \W?(\w+://\S+?)['\s]", text)
    said = "settings are not fetched, name a file of this machine"
    return given and f"--{owner[1] if owner else 'config'}={given[1]}: {said}"


def unnamed(text: str) -> str | None:
    """That an argument of a user's loader has no name, by which Lightning makes predict's anew."""
    given = re.match(r"The (\w+) implementation has an error .* parent's `(\w+)=", text)
    loader = given and f"its {given[1]} of predict needs its arguments by name"
    return given and f"--data: {loader}, as {given[1]}(data, {given[2]}=...)"


def without_kernel(text: str) -> str | None:
    """That torch cannot compute a layer in bfloat16 on this processor, such as an LSTM."""
    found = re.search(r"could not create a primitive descriptor for the (\w+)", text)
    said = "in bfloat16 on this processor: --trainer.precision=32-true"
    return found and f"torch cannot compute the network's {found[1]} {said}"


def required(text: str) -> str:
    """What argparse says of an argument that is missing, in words."""
    if needed := re.fullmatch(r"the following arguments are required: (\w+)\.(\S+)", text):
        example = ", such as --data=Digits" if needed[2] == "data" else ""
        return f"{needed[1]} needs --{needed[2]}{example}"
    return text


def is_news(record: logging.LogRecord) -> bool:
    """Whether something that Lightning says is not said on every run."""
    return not re.search(NOISE, record.getMessage())


def warning_line(message: Warning | str, *_: object) -> str:
    """A warning in one line that names an option, without the place in a library's code.

    Args:
        message: of the warning; as are the further arguments, to `warnings.formatwarning`
    """
    text = brief(str(message))
    if few := re.match(r"The number of training batches \((\d+)\) .*log_every_n_steps=(\d+)", text):
        every = f"--trainer.log_every_n_steps={few[2]}"
        count = f"{few[1]} batch" if few[1] == "1" else f"{few[1]} batches"
        text = f"{every}: an epoch has {count}, so that some epochs log nothing of training"
    return f"warning: {text}\n"


def silence_noise() -> None:
    """Hides what Lightning says on every run and no user can act on; warnings are of one line."""
    if not os.environ.get("RECIPES_DEBUG"):
        warnings.formatwarning = warning_line
    for name in ("pytorch.utilities.rank_zero", "fabric.utilities.seed"):
        logging.getLogger(f"lightning.{name}").addFilter(is_news)
    for message in (
        r".*isinstance\(treespec, LeafSpec\).*",  # Lightning's own use of torch
        r"Checkpoint directory .* exists and is not empty.*",  # a resumed run
        r".*use `self\.log\('samples', .*",  # each process counts those of all
        r"Total length of `list` across ranks is zero.*",  # data without validation
        r"Using ModelCheckpoint with manual optimization.*AFTER optimization.*",  # as is meant
    ):
        warnings.filterwarnings("ignore", message=message)
