"""Whether a network fits the data: asked before the first step, said by the option to change."""

import inspect
import math
from collections.abc import Sequence

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.modules.conv import _ConvNd

from datamodules.reading.classes import Classes
from recipes.parts.brief import brief
from recipes.parts.networks import MLP, evaluating


@torch.no_grad()
def outputs(network: nn.Module, option: str, what: str, *inputs: Tensor) -> Tensor:
    """A network's outputs in evaluation mode.

    Neither its batch-norm nor the random generators change.

    Args:
        network: to ask
        option: that the network was given by, for the message
        what: the inputs in words, for the message
        inputs: of the network

    Raises:
        ValueError: if it does not take these inputs
    """
    try:
        with torch.random.fork_rng(devices=[]), evaluating(network):
            return network(*inputs)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = brief(str(error))
        raise ValueError(f"{option} does not take {what}: {reason}") from error


def outputs_of_data(
    network: nn.Module, data: LightningDataModule | None, option: str
) -> Tensor | None:
    """What a network makes of two rows of zeros in the shape of the data's inputs, (2, ...).

    Args:
        network: to ask
        data: set up; may have `input_shape`, without the batch; else the answer is None; and
            `input_dtype`, by default that of the network
        option: that the network was given by

    Raises:
        ValueError: if it takes other inputs, with the option to change
    """
    shape = getattr(data, "input_shape", None)
    if shape is None:
        return None
    parameter = next(network.parameters(), torch.zeros(()))
    dtype = getattr(data, "input_dtype", parameter.dtype)  # of tokens, int64
    rows = torch.zeros(2, *shape, dtype=dtype, device=parameter.device)
    try:
        return outputs(network, option, f"inputs {tuple(shape)}", rows)
    except ValueError as error:
        if line := other_inputs(network, shape, option, dtype):
            raise ValueError(line) from error
        raise


def other_inputs(
    network: nn.Module, shape: Sequence[int], option: str, dtype: torch.dtype | None = None
) -> str | None:
    """That a network's first layer takes other inputs than the data's, if it does.

    Args:
        network: of any kind
        shape: of one of the data's inputs
        option: that the network was given by
        dtype: of the inputs, if they are whole numbers: tokens
    """
    kinds = (nn.Linear, _ConvNd)
    first = next((layer for layer in network.modules() if isinstance(layer, kinds)), None)
    if isinstance(first, nn.Linear):
        taken = network.inputs if isinstance(network, MLP) else first.in_features  # if embedded
        there, unit = math.prod(shape), "features"
    elif first is not None and len(shape) == 1 and dtype == torch.int64:
        return f"{option} takes images, but the data have texts: such as {option}=TextCNN"
    elif first is not None and len(shape) == 1:
        return f"{option} takes images, but the data have rows of a table: such as {option}=MLP"
    elif first is not None:
        taken, there, unit = first.in_channels, shape[0], "channels"
    else:
        return None
    given = named(network, option, "inputs", taken) or f"{option} takes {taken} {unit}"
    return f"{given}, but the data have {there} {unit}" if taken != there else None


def named(network: nn.Module, option: str, argument: str, value: int) -> str | None:
    """An argument of a network's class as an option, such as --model.network.inputs=64.

    None where the class has no argument of that name, or a checkpoint has decided it.
    """
    known = argument in inspect.signature(type(network)).parameters and "=" not in option
    return f"{option}.{argument}={value}" if known else None


def count_classes(data: LightningDataModule | None) -> int | None:
    """How many classes the targets of some data are of, as far as the data tell.

    Args:
        data: set up; may have `class_count`, `class_names`, a number `classes`, or `label_count`:
            the largest label and one
    """
    names = getattr(data, "class_names", None)
    found = [getattr(data, "class_count", None), names and len(names)]
    # Classes are a list where they say which are kept.
    found += [getattr(data, name, None) for name in ("classes", "label_count")]
    return next((count for count in found if isinstance(count, int)), None)


def limit_labels(data: LightningDataModule | None, classes: Classes) -> None:
    """Has the data refuse labels that are none of the classes, where they are read.

    Args:
        data: set up; may have `check_classes`, and `numeric_target` if it is no label
        classes: that the network knows

    Raises:
        ValueError: with the option to change, or the place of the first such label
    """
    check_target(data)
    if hasattr(data, "check_classes"):
        data.check_classes(classes)
    elif (there := count_classes(data)) is not None:
        classes.check_room(there, f"--data={type(data).__name__}")


def check_named(data: LightningDataModule | None) -> None:
    """Raises ValueError if data whose targets are columns have none."""
    if not getattr(data, "has_targets", True):
        raise ValueError("--data.target=[] names nothing to predict: recipes.em takes such data")


def check_target(data: LightningDataModule | None) -> None:
    """Raises ValueError if the data's target is no label, as its `numeric_target` says."""
    check_named(data)
    if target := getattr(data, "numeric_target", None):
        raise ValueError(f"{target}: the target is a number, not a class")


def check_classifier(
    network: nn.Module, data: LightningDataModule | None, stage: str, option: str
) -> int | None:
    """Refuses a classifier and data that do not fit each other; to be called in `setup`.

    From then on the data refuse labels that are no class of the network's, where they are read.
    Data that do not tell the shape of their inputs are taken as they are.

    Args:
        network: that is trained or evaluated
        data: set up
        stage: fit, validate, test or predict, which needs no labels
        option: that the network was given by

    Returns:
        how many classes the network knows, if it was asked

    Raises:
        ValueError: with the option to change
    """
    if stage != "predict":
        check_target(data)
    if hasattr(network, "check_data"):  # of a pretrained one
        network.check_data(data, option)
    if any(weight.is_meta or isinstance(weight, DTensor) for weight in network.parameters()):
        return None  # the first process has the weights, or an earlier stage has sharded them
    logits = outputs_of_data(network, data, option)
    if logits is None:
        return None
    if logits.ndim != 2:
        shape = tuple(logits.shape[1:])
        raise ValueError(f"{option} gives {shape} for an example, not one number for each class")
    count = logits.shape[1]
    if stage != "predict":
        given = named(network, option, "outputs", count) or f"{option} with {count} outputs"
        limit_labels(data, Classes(count, given))
    return count
