"""Parameters that an optimizer of a checkpoint has not stepped yet."""

from collections.abc import Iterator

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn


def without_state(trainer: Trainer, pl_module: LightningModule) -> Iterator[nn.Parameter]:
    """The parameters whose state a resumed sharded run's checkpoint lacks; of others, none.

    torch loads the optimizer of sharded weights only if each parameter that requires a gradient has
    a state in the checkpoint. One that was frozen until then has none.
    """
    if not isinstance(trainer.strategy, ModelParallelStrategy) or not trainer.ckpt_path:
        return
    # Mapped: no tensor is read.
    saved = torch.load(trainer.ckpt_path, map_location="cpu", mmap=True, weights_only=True)
    names = {parameter: name for name, parameter in pl_module.named_parameters()}
    for optimizer, state in zip(trainer.optimizers, saved["optimizer_states"], strict=True):
        every = (parameter for group in optimizer.param_groups for parameter in group["params"])
        for number, parameter in enumerate(every):  # named by process groups, numbered by one
            if not {number, names[parameter]} & state["state"].keys():
                yield parameter
