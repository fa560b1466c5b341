"""How many classes a network tells apart, and that the data have no others."""

import torch
from lightning.pytorch import LightningDataModule
from torch import nn

from recipes.parts.networks import evaluating


def class_count(network: nn.Module, data: LightningDataModule) -> int | None:
    """Number of logits that a network gives for an example of the data.

    Two rows go through it in evaluation mode, so that neither its batch-norm nor the random
    generators change. None where the data do not tell the shape of their inputs, or the network
    does not take them: its first batch will say why.

    Args:
        network: to ask, where it was made
        data: set up; may have `input_shape`, without the batch
    """
    shape = getattr(data, "input_shape", None)
    if shape is None:
        return None
    parameter = next(network.parameters(), torch.zeros(()))
    rows = torch.zeros(2, *shape, dtype=parameter.dtype, device=parameter.device)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), evaluating(network):
            logits = network(rows)
    except (RuntimeError, ValueError, IndexError):
        return None
    return logits.shape[1] if logits.ndim == 2 else None


def refuse_other_classes(network: nn.Module, data: LightningDataModule | None, stage: str) -> None:
    """Has the data refuse labels that are no class of a network's; to be called in `setup`.

    Args:
        network: that is trained or evaluated
        data: set up; has `check_classes` if it knows where a label was read, in which file and row
        stage: predictions need no labels
    """
    if hasattr(data, "check_classes") and stage != "predict":
        if count := class_count(network, data):
            data.check_classes(count)
