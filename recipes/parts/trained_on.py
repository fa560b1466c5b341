"""What the weights of a run's file were trained on, beside what they are to be trained on now."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

import torch
from lightning.pytorch import LightningDataModule

from recipes.parts.configs import run_of

# Where data keep, in a checkpoint, what the numbers of inputs and of outputs mean.
INPUTS = {"words": ("words",), "tokens": ("tokens",), "columns": ("schema", "kinds")}
OUTPUTS = {"classes": ("class_names",), "classes of rows": ("schema", "class_names")}


def other_data(path: str, data: LightningDataModule | None, has_head: bool) -> Iterator[str]:
    """That words, columns or classes are others than those of the run that a file of weights is of.

    Their number may be the same all the same, and the weights fit.

    Args:
        path: of the file; of one that lies in no run's folder nothing is known
        data: set up
        has_head: whether the weights of the outputs are taken, too

    Returns:
        a line for each that has changed
    """
    folder = run_of(path)
    checkpoint = folder and folder / "checkpoints" / "last.ckpt"
    if data is None or not checkpoint or not checkpoint.is_file():
        return
    # Mapped: no tensor is read.
    saved = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
    theirs, own = saved.get(type(data).__qualname__, {}), data.state_dict()
    for what, keys in (INPUTS | OUTPUTS if has_head else INPUTS).items():
        there, here = (looked_up(state, keys) for state in (theirs, own))
        if there is None or here is None or there == here:
            continue
        pairs = enumerate(zip_longest(there, here, fillvalue="none"))
        number, (old, new) = next((n, pair) for n, pair in pairs if pair[0] != pair[1])
        yield f"of a run with other {what}: number {number} was {old} there, and is {new} here"


def looked_up(state: Mapping[str, Any], keys: tuple[str, ...]) -> list[Any] | None:
    """What lies below some keys, as a list; None if nothing does."""
    found: Any = state
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else list(found)
