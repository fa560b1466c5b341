"""Hyperparameters in checkpoints: plain values only, however the module was made."""

import inspect

from lightning.pytorch import LightningModule

# Set by LightningCLI while it makes the module; Lightning has no public name for it.
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters

PLAIN = (str, int, float, bool, type(None))


def save_hyperparameters(module: LightningModule) -> None:
    """`module.save_hyperparameters`, to be called in `__init__`, for its checkpoints alone.

    A module made by the command line saves the whole config that it was made from, networks as
    their class_path, so that its checkpoint says all that is needed to make it again. One made in
    Python saves its plain arguments; networks and functions would be pickled objects, and such a
    checkpoint does not load with `weights_only=True`.

    Args:
        module: under construction
    """
    frame = inspect.currentframe().f_back
    ignored = []
    if _given_hyperparameters.get() is None:
        arguments, _, _, values = inspect.getargvalues(frame)
        ignored = [name for name in arguments if not isinstance(values[name], PLAIN)]
    module.save_hyperparameters(logger=False, ignore=ignored, frame=frame)
