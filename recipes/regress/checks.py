"""What does not fit together, said in one line before the first step."""

import copy
from textwrap import shorten

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, nn

from recipes.regress.dropout import dropouts
from recipes.regress.losses import Loss


def check_dropout(network: nn.Module, mc_samples: int) -> None:
    """Raises ValueError if passes with dropout are asked of a network that has none."""
    if mc_samples and not dropouts(network):
        raise ValueError(
            f"--model.mc_samples={mc_samples}: {type(network).__name__} has no dropout, as in "
            "--model.network.dropout=0.1"
        )


def check_network(network: nn.Module, data: LightningDataModule | None, loss: Loss) -> None:
    """Refuses a network whose inputs are not the data's, or whose outputs are not the loss's.

    Two rows go through a copy in evaluation mode, so that neither its batch-norm nor the random
    generators change. Data that do not tell their number of features are taken as they are.

    Args:
        network: to ask
        data: set up; may have `features`
        loss: knows how many outputs it needs

    Raises:
        ValueError: with the option to change
    """
    features = getattr(data, "features", None)
    if features is None:
        return
    parameter = next(network.parameters(), torch.zeros(()))
    rows = torch.zeros(2, features, dtype=parameter.dtype, device=parameter.device)
    linear = next((part for part in network.modules() if isinstance(part, nn.Linear)), None)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            outputs = copy.deepcopy(network).eval()(rows)
    except (RuntimeError, ValueError, IndexError) as error:
        if linear is not None and linear.in_features != features:
            inputs = f"--model.network.inputs={linear.in_features}"
            raise ValueError(f"{inputs}, but the data have {features} features") from error
        reason = shorten(str(error), 200)
        raise ValueError(
            f"--model.network does not take inputs (2, {features}): {reason}"
        ) from error
    if outputs.shape != (2, loss.outputs):
        raise ValueError(
            f"--model.loss={loss.name} needs --model.network.outputs={loss.outputs}: the network "
            f"makes {tuple(outputs.shape)} of two rows"
        )


def check_target(data: LightningDataModule | None, mean: Tensor, std: Tensor) -> None:
    """Refuses data that are standardised otherwise than those that a network was trained on.

    Args:
        data: set up; may have `target_mean` and `target_std`
        mean: of the target that the network was trained on
        std: of the same

    Raises:
        ValueError: with both
    """
    names = ("target_mean", "target_std")
    own = torch.stack([mean, std]).cpu().float()
    new = torch.tensor([float(getattr(data, name, own[i])) for i, name in enumerate(names)])
    if not torch.allclose(own, new, rtol=1e-4):
        numbers = f"mean {new[0]:.6g}, std {new[1]:.6g} instead of {own[0]:.6g}, {own[1]:.6g}"
        raise ValueError(
            f"--data has another training target than the network was trained on ({numbers}): "
            "give it the file, split and sizes of the fit"
        )
