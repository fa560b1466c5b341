"""Hyperparameters in checkpoints: plain values only, however the module was made."""

import inspect

from lightning.pytorch import LightningModule

# Set by LightningCLI while it makes the module; Lightning has no public name for it.
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters


def is_plain(value: object) -> bool:
    """Whether a value is a str, number, bool or None, or a list or dict of such."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(map(is_plain, [*value, *value.values()]))
    return isinstance(value, (str, int, float, bool, type(None)))


def save_hyperparameters(module: LightningModule) -> None:
    """`module.save_hyperparameters`, to be called in `__init__`, for its checkpoints alone.

    A module made by the command line saves the whole config that it was made from, networks as
    their class_path, so that its checkpoint says all that is needed to make it again. One made in
    Python saves its plain arguments; networks and functions would be pickled objects, and such a
    checkpoint does not load with `weights_only=True`. They are given to `load_from_checkpoint`
    again: `Classify.load_from_checkpoint(path, network=MLP(64, [16]))`.

    Args:
        module: under construction
    """
    if _given_hyperparameters.get() is not None:
        module.save_hyperparameters(logger=False)
        return
    # The constructors of the module and of the subclasses that called it.
    arguments: dict[str, object] = {}
    frame = inspect.currentframe().f_back
    while frame and frame.f_locals.get("self") is module and frame.f_code.co_name == "__init__":
        names, _, _, values = inspect.getargvalues(frame)
        arguments |= {name: values[name] for name in names if is_plain(values[name])}
        frame = frame.f_back
    module.save_hyperparameters(arguments, logger=False)
