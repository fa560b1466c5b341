"""What the weights of a run's file were trained on, beside what they are to be trained on now."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_info

from recipes.parts.configs import run_of

# Where data, or a language model, keep in a checkpoint what the numbers of inputs, or of outputs,
# mean.
INPUTS = {
    "words": ("words",),
    "tokens": ("tokens", "content"),
    "columns": ("schema", "kinds"),
    "symbols": ("vocabulary", "symbols"),
    "symbols of a tokenizer": ("vocabulary", "content"),
}
OUTPUTS = {"classes": ("class_names",), "classes of rows": ("schema", "class_names")}


def other_data(path: str, module: LightningModule, has_head: bool) -> Iterator[str]:
    """That words, columns or classes are others than those of the run that a file of weights is of.

    There may be as many of them, so that the weights fit.

    Args:
        path: of the file; of one that lies in no run's folder nothing is known
        module: that begins to train, with its data set up
        has_head: whether the weights of the outputs are taken, too

    Returns:
        a line for each that has changed
    """
    folder, data = run_of(path), module.trainer.datamodule
    if folder is None or data is None:
        return
    try:
        # Mapped: no tensor is read.
        file = folder / "checkpoints" / "last.ckpt"
        saved = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError):
        return  # it is not needed, and may be gone
    vocabulary = getattr(module, "vocabulary", None)
    theirs = {**saved.get(type(data).__qualname__, {}), "vocabulary": saved.get("vocabulary")}
    own = {**data.state_dict(), "vocabulary": vocabulary and vocabulary.plain()}
    for what, keys in (INPUTS | OUTPUTS if has_head else INPUTS).items():
        there, here = (looked_up(state, keys) for state in (theirs, own))
        if there is not None and here is not None and there != here:
            yield f"of a run with other {what}{first_difference(there, here)}"


def say_other_data(option: str, path: str, module: LightningModule, has_head: bool = True) -> None:
    """Prints what `other_data` finds, a line each, with the option that the file was given by."""
    for line in other_data(path, module, has_head):
        rank_zero_info(f"{option}={path}: {line}")


def looked_up(state: Mapping[str, Any], keys: tuple[str, ...]) -> object:
    """What lies below some keys, of a mapping its keys in order; None if nothing does."""
    found: Any = state
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return list(found) if isinstance(found, Mapping | tuple) else found


def first_difference(there: object, here: object) -> str:
    """The first place at which two lists differ, in words; nothing of what is no list."""
    if not (isinstance(there, list) and isinstance(here, list)):
        return ""
    pairs = enumerate(zip_longest(there, here, fillvalue="none"))
    number, (old, new) = next((n, pair) for n, pair in pairs if pair[0] != pair[1])
    return f": number {number} was {old} there, and is {new} here"
