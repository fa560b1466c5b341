"""A trained teacher from a checkpoint or a class_path."""

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import nn

from recipes.classify import Classify


def load_teacher(network: nn.Module | None, checkpoint: str | None) -> nn.Module:
    """The teacher, with weights.

    Args:
        network: the architecture; with its own weights if there is no checkpoint
        checkpoint: path of a checkpoint that recipes.classify saved; without `network`, the
            architecture is the one that its hyperparameters name

    Raises:
        ValueError: if there is neither, or the weights do not fit the network
        FileNotFoundError: if the checkpoint does not exist
    """
    if checkpoint is None:
        if network is None:
            raise ValueError(
                "scheme frozen needs --model.teacher_checkpoint or a --model.teacher with weights"
            )
        return network
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f"--model.teacher_checkpoint={checkpoint}: no such file")
    try:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        weights = {k.removeprefix("network."): v for k, v in saved["state_dict"].items()}
        if network is None:
            return Classify.load_from_checkpoint(checkpoint, map_location="cpu").network
        network.load_state_dict(weights)
    except (KeyError, TypeError, UnpicklingError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"--model.teacher_checkpoint={checkpoint} does not fit: {reason}"
        ) from error
    return network
