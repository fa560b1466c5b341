"""What the command line says: help that is short, errors that are one line, and no noise."""

import argparse
import logging
import re
import warnings
from difflib import get_close_matches
from textwrap import shorten

import wandb
from jsonargparse import ArgumentError, DefaultHelpFormatter
from lightning.pytorch.cli import LightningArgumentParser
from torch.multiprocessing import ProcessRaisedException

from recipes.parts.keys import OURS
from recipes.running.recipe import recipe_names

# What Lightning says on every run: advertisements, the seed, what hardware there is not, the end.
NOISE = r"litlogger|Tip: |^Seed set|^[GT]PU available: False|max_epochs=\d+` reached"
# Errors whose text says all.
KNOWN = (argparse.ArgumentError, ArgumentError, ValueError, OSError, FloatingPointError)


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


def one_line(error: BaseException, parser: LightningArgumentParser | None = None) -> str:
    """What to tell a user of an error: what is wrong, and which option or file it is.

    Args:
        error: what was raised
        parser: of the subcommand, if it is known: mistyped options are compared with its own
    """
    if isinstance(error, ProcessRaisedException):  # of a forked process, with its traceback
        last = str(error).strip().splitlines()[-1]
        kind, _, said = last.partition(": ")
        return said if kind in {known.__name__ for known in KNOWN} else last
    text = " ".join(str(error).split()).replace("typing.", "")
    text = re.sub(r"`Fabric\(\.\.\., precision='([\w-]+)'\)`", r"--trainer.precision=\1", text)
    text = re.sub(r'Parser key "([\w.]+)":', r"--\1:", text)
    text = shorten(unfetched(text) or reason(text), 350)
    if parser and (unknown := re.fullmatch(r"unrecognized arguments: (--[\w.]+).*", text)):
        options = [option for action in parser._actions for option in action.option_strings]
        if close := get_close_matches(unknown[1], options, n=1):
            text += f"; is it {close[0]}?"
    if isinstance(error, wandb.errors.CommError):
        return f"W&B cannot be reached, WANDB_MODE=offline does without: {shorten(text, 200)}"
    if isinstance(error, KNOWN) and text:
        return text
    return f"{type(error).__name__}: {text}"


def unfetched(text: str) -> str | None:
    """That an address was given for a setting that is a class, if jsonargparse says so."""
    owner = text.split(":", 1)[0]
    given = re.search(r"(?:Expected a path but|Unable to load config) \W?(\w+://\S+?)['\s]", text)
    return given and f"{owner}={given[1]}: settings are not fetched, name a file of this machine"


def reason(text: str) -> str:
    """What a user can act on in what jsonargparse says, if it is jsonargparse that says it."""
    if needed := re.fullmatch(r"the following arguments are required: (\w+)\.(\S+)", text):
        example = ", such as --data=Digits" if needed[2] == "data" else ""
        return f"{needed[1]} needs --{needed[2]}{example}"
    owner = text.split(":", 1)[0]
    lacking = r"Problem with given class_path '([\w.]+)': .* are required: (\w+(?:, \w+)*)"
    if needs := re.search(lacking, text):
        options = ", ".join(f"{owner}.{name}" for name in needs[2].split(", "))
        return f"{owner}={needs[1].rpartition('.')[2]} needs {options}"
    # What it tried for a value that fits none of a union of types, in the end the value.
    if nested := re.findall(r"NestedArg\(key='([\w.+]+)', val='?([^')]*)'?", text):
        key, value = nested[-1]  # the outermost one has the whole key
        return f"{owner}.{key}={value}: {expected(text)}"
    # The same for an argument of a class in a list.
    if problem := re.search(r"Problem with given class_path '([\w.]+)': (.+?) - Not a", text):
        where, what = f"{owner}: {problem[1].rpartition('.')[2]}: ", problem[2]
        if inner := re.match(r"--(\w+): Does not validate .* Given value: (.+)", what):
            return f"{where}{inner[1]}={inner[2]}: {expected(what)}"
        return where + what
    # What a constructor raised for a class in a list.
    if raised := re.match(r"Does not validate .* Errors: - (.+?) - (Not a|Expected)", text):
        return raised[1]
    if made := re.search(r"Got value: Namespace\(class_path='([\w.]+)'.*Namespace\((.*?)\)", text):
        return f"{owner}: {made[1]} does not take {made[2]}"
    if named := re.search(r"- Expected a (?:path but|dot) .*?path string: (\S+)", text):
        return f"{owner}: no class of this name, nor a class_path: {named[1]}"
    if given := re.search(r"any of the Union subtypes .* Given value: (.+)$", text):
        return f"{owner}={given[1]} is not accepted, see --help"
    return text


def expected(text: str) -> str:
    """The types that jsonargparse tried in vain, or what else it expected."""
    if "Expected a dot import path string" in text:
        return "no class of this name, nor a class_path"
    if types := dict.fromkeys(re.findall(r"Not of type (\w+)", text)):
        return f"Not of type {' or '.join(types)}"
    option = re.search(r"Problem with given class_path '([\w.]+)': Option '(\w+)' is not", text)
    if option and "Expected a Literal" not in text:
        return f"{option[1].rpartition('.')[2]} does not take {option[2]}"
    other = re.search(r"Expected an? [^.]*", text)
    return other[0] if other else "not accepted"


def is_news(record: logging.LogRecord) -> bool:
    """Whether something that Lightning says is not said on every run."""
    return not re.search(NOISE, record.getMessage())


def silence_noise() -> None:
    """Hides what Lightning says on every run and no user can act on."""
    for name in ("pytorch.utilities.rank_zero", "fabric.utilities.seed"):
        logging.getLogger(f"lightning.{name}").addFilter(is_news)
    for message in (
        r".*isinstance\(treespec, LeafSpec\).*",  # Lightning's own use of torch
        r"Checkpoint directory .* exists and is not empty.*",  # a resumed run
        r".*use `self\.log\('samples', .*",  # each process counts those of all
        r"Total length of `list` across ranks is zero.*",  # data without validation
        r"Metric `Kernel Inception Distance` will save all.*",  # as many as are generated
        r"Couldn't infer the batch indices.*",  # which WritePredictions does not need
        r"Using ModelCheckpoint with manual optimization.*AFTER optimization.*",  # as is meant
    ):
        warnings.filterwarnings("ignore", message=message)
