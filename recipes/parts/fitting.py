"""Whether a network fits the data, told in one line before the first step."""

import math
from textwrap import shorten

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn

from recipes.parts.networks import MLP, evaluating


def count_classes(data: LightningDataModule | None) -> int | None:
    """How many classes the targets of some data are of, as far as the data tell.

    Args:
        data: set up; may have `class_count`, `class_names` or a number `classes`
    """
    names = getattr(data, "class_names", None)
    found = [getattr(data, "class_count", None), names and len(names)]
    found.append(getattr(data, "classes", None))  # of Images: which classes are kept
    return next((count for count in found if isinstance(count, int)), None)


def outputs_for(network: nn.Module, data: LightningDataModule, option: str) -> Tensor | None:
    """A network's outputs for two inputs of the data, (2, ...); None where data tell no shape.

    They go through it in evaluation mode, so that neither its batch-norm nor the random generators
    change.

    Args:
        network: to ask
        data: set up; may have `input_shape`, without the batch
        option: that the network was given by, such as --model.network

    Raises:
        ValueError: if the network does not take such inputs, with the option to change
    """
    shape = getattr(data, "input_shape", None)
    if shape is None:
        return None
    parameter = next(network.parameters(), torch.zeros(()))
    rows = torch.zeros(2, *shape, dtype=parameter.dtype, device=parameter.device)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), evaluating(network):
            return network(rows)
    except (RuntimeError, ValueError, IndexError) as error:
        if wrong := wrong_inputs(network, shape):
            raise ValueError(f"{option}.inputs={wrong}") from error
        reason = shorten(str(error), 200)
        raise ValueError(f"{option} does not take inputs {tuple(rows.shape)}: {reason}") from error


def wrong_inputs(network: nn.Module, shape: torch.Size) -> str:
    """The number of inputs of a network, and of the data, in words if they differ.

    Args:
        network: whose first layer tells
        shape: of one input
    """
    first = next((m for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d))), None)
    if isinstance(first, nn.Linear):
        inputs = network.inputs if isinstance(network, MLP) else first.in_features
        if inputs != math.prod(shape):
            return f"{inputs}, but the data have {math.prod(shape)} features"
    if isinstance(first, nn.Conv2d) and len(shape) == 3 and first.in_channels != shape[0]:
        return f"{first.in_channels}, but the data's images have {shape[0]} channels"
    return ""


def check_classifier(network: nn.Module, data: LightningDataModule | None, option: str) -> None:
    """Refuses a classifier whose inputs are not the data's, or that has too few outputs.

    Args:
        network: maps inputs to logits
        data: set up, if there are such
        option: that the network was given by

    Raises:
        ValueError: with the option to change
    """
    outputs, classes = outputs_for(network, data, option), count_classes(data)
    if outputs is None or classes is None:
        return
    if outputs.ndim != 2 or outputs.shape[1] < classes:
        made = outputs.shape[1] if outputs.ndim == 2 else f"shape {tuple(outputs.shape[1:])}"
        raise ValueError(f"{option}.outputs={made}, but the data have {classes} classes")
