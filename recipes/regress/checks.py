"""What does not fit together, said in one line before the first step."""

import torch
from lightning.pytorch import LightningDataModule
from torch import nn

from recipes.parts.dropout import dropouts
from recipes.parts.fitting import check_named, outputs_of_data
from recipes.regress.losses import Loss


def check_dropout(network: nn.Module, mc_samples: int) -> None:
    """Raises ValueError if passes with dropout are asked of a network that has none."""
    if mc_samples and not dropouts(network):
        raise ValueError(
            f"--model.mc_samples={mc_samples}: {type(network).__name__} has no dropout, as in "
            "--model.network.dropout=0.1"
        )


def count_targets(data: LightningDataModule | None) -> int:
    """How many numbers the data ask for: as many as they have `target_names`, or one."""
    return len(getattr(data, "target_names", None) or [""])


def check_network(network: nn.Module, data: LightningDataModule | None, loss: Loss) -> None:
    """Refuses a network whose inputs are not the data's, or whose outputs are not the loss's.

    Data that do not tell the shape of their inputs are taken as they are.

    Args:
        network: to ask
        data: set up; may have `input_shape`, without the batch
        loss: knows how many outputs it needs

    Raises:
        ValueError: with the option to change, or if the target is a class, or there is none
    """
    if getattr(data, "class_names", None) or getattr(data, "class_count", None):
        option = (
            "--data.target"
            if hasattr(data, "target_names")
            else f"--data={type(data).__name__}: its target"
        )
        raise ValueError(f"{option} is a class, which recipes.classify learns: not a number")
    check_named(data)
    outputs, targets = outputs_of_data(network, data, "--model.network"), count_targets(data)
    wanted, what = loss.outputs * targets, f" of {targets} targets" if targets > 1 else ""
    if outputs is not None and outputs.shape != (2, wanted):
        raise ValueError(
            f"--model.loss={loss.name}{what} needs --model.network.outputs={wanted}: the network "
            f"makes {tuple(outputs.shape)} of two rows"
        )


Scaling = dict[str, list]  # plain values, as checkpoints hold them


def scaling(data: LightningDataModule | None) -> Scaling:
    """Mean and standard deviation of the training target and of the inputs, as far as data tell.

    Args:
        data: set up; may have `target_mean`, `target_std`, `input_mean` and `input_std`

    Returns:
        `target` and `inputs`, mean and deviation each; lists, but of one target numbers
    """
    found: Scaling = {}
    if hasattr(data, "target_mean"):
        pair = (data.target_mean, data.target_std)
        found["target"] = [torch.as_tensor(v, dtype=torch.float64).tolist() for v in pair]
    if hasattr(data, "input_mean"):
        found["inputs"] = [data.input_mean.tolist(), data.input_std.tolist()]
    return found


def check_scaling(data: LightningDataModule | None, trained: Scaling) -> None:
    """Refuses data that are standardised otherwise than those that a network was trained on.

    Args:
        data: set up; what they do not tell is taken as it is
        trained: `scaling` of the data that the network was trained on

    Raises:
        ValueError: if target or inputs are others
    """
    found = scaling(data)
    other = [name for name in found if name in trained and not alike(found[name], trained[name])]
    if not other:
        return
    what = "other training inputs"
    if other[0] == "target":
        what = "other training targets"
    pairs = (found.get("target"), trained.get("target"))
    if other[0] == "target" and not any(isinstance(pair[0], list) for pair in pairs):
        new, old = (
            f"mean {mean:.6g}, std {std:.6g}" for mean, std in (found["target"], trained["target"])
        )
        what = f"another training target ({new} instead of {old})"
    raise ValueError(
        f"--data has {what} than the network was trained on: give it the file, columns, split and "
        "sizes of the fit"
    )


def alike(one: list, two: list) -> bool:
    """Whether two means and deviations are equal but for rounding."""
    (mean, std), (other, unit) = (
        torch.tensor(values, dtype=torch.float64) for values in (one, two)
    )
    if mean.shape != other.shape:
        return False
    differences = torch.stack([mean - other, std - unit]) / unit
    return bool((differences.abs() < 1e-6).all())
