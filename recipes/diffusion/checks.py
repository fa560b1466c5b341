"""What a diffusion model is refused for, in one line, before its first step."""

from collections.abc import Sequence

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import nn
from torch.distributed.tensor import DTensor

from recipes.diffusion.process import DDPM, Path
from recipes.diffusion.samplers import DDIM, Sampler
from recipes.parts.fitting import outputs

MANY = 1000  # times the network's error, from which on a line tells of it


def check_arguments(
    path: Path, sampler: Sampler, classes: int | None, label_dropout: float, guidance: float
) -> None:
    """Checks that arguments can be used together.

    Raises:
        ValueError: naming the options
    """
    sampler.check(path)
    if label_dropout and not classes:
        raise ValueError(f"--model.label_dropout={label_dropout:g}: there are no --model.classes")
    check_guidance("--model.guidance", guidance, classes, label_dropout)


def check_guidance(option: str, guidance: float, classes: int | None, label_dropout: float) -> None:
    """Refuses guidance without classes, or by a network that has never been without a label.

    Raises:
        ValueError: naming the options
    """
    if guidance == 1:
        return
    if not classes:
        raise ValueError(f"{option}={guidance:g}: there are no --model.classes to guide to")
    if not label_dropout:
        raise ValueError(
            f"{option}={guidance:g} needs examples without a label in training: "
            "--model.label_dropout=0.1"
        )


def check_drawn(
    interpolate: int | None, label: int | None, classes: int | None, sampler: Sampler
) -> None:
    """Refuses a label that is no class, and to interpolate where the first noise decides little.

    Raises:
        ValueError: naming the option
    """
    if label is not None and (classes is None or label >= classes):
        there = f"0 to {classes - 1}" if classes else "none: --model.classes"
        raise ValueError(f"--label={label}: the classes are {there}")
    if interpolate and sampler.adds_noise:
        way = "--model.sampler.eta=0" if isinstance(sampler, DDIM) else "--model.sampler=DDIM"
        raise ValueError(f"--interpolate needs a sampler that adds no noise on its way: {way}")


def note_extrapolation(path: Path, shape: Sequence[int], clip: bool) -> None:
    """Says where samples begin by an example that is mostly the network's error, many times over.

    x0 is (x_t - scale epsilon) / signal, and a cosine schedule ends with next to no signal.

    Args:
        path: of the recipe
        shape: of an example; images are clipped
        clip: whether they are
    """
    if not isinstance(path, DDPM) or path.prediction != "epsilon" or (clip and len(shape) == 3):
        return
    signal, _ = path.coefficients(torch.ones(1))
    if (times := 1 / signal.item()) > MANY:
        rank_zero_info(
            f"note: --model.path.prediction=epsilon, schedule={path.schedule}: an example begins "
            f"as the network's error {times:,.0f} times over, which nothing clips: v, x0, or linear"
        )


def check_network(
    network: nn.Module, classes: int | None, data: LightningDataModule | None
) -> None:
    """Checks that the network fits the data, by a pass of it.

    Args:
        network: of the recipe
        classes: number of labels that it is given
        data: set up; data that do not tell their `input_shape` are taken as they are

    Raises:
        ValueError: naming the option and both shapes
    """
    if getattr(data, "vocabulary", None) is not None:
        raise ValueError(f"--data={type(data).__name__} is text: noise is added to numbers")
    shape, weights = getattr(data, "input_shape", None), [*network.parameters()]
    if shape is None or any(w.is_meta or isinstance(w, DTensor) for w in weights):
        return
    if not weights:
        raise ValueError(f"--model.network={type(network).__name__} has no weights to train")
    rows = weights[0].new_zeros(2, *shape)
    given = () if classes is None else (torch.full((2,), classes, device=rows.device),)
    what = f"{tuple(shape)} and times{' and labels' if classes else ''}"
    times = rows.new_zeros(2).float()
    found = tuple(outputs(network, "--model.network", what, rows, times, *given).shape[1:])
    if found != tuple(shape):
        raise ValueError(f"--model.network gives {found} for an example of {tuple(shape)}")
