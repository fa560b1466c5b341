"""A trained teacher from a checkpoint or a class_path."""

import os

from lightning.pytorch import LightningDataModule
from torch import nn

from callbacks.averages import read_evaluated
from recipes.parts.brief import brief
from recipes.parts.checkpoints import read_checkpoint
from recipes.parts.saved import load_network, saved_network


def load_teacher(network: nn.Module | None, checkpoint: str | None) -> nn.Module:
    """The teacher, with the weights that its own run evaluated.

    Args:
        network: the architecture; with its own weights if there is no checkpoint
        checkpoint: path of a checkpoint that recipes.classify saved; without `network`, the
            architecture is the one that its hyperparameters name

    Raises:
        ValueError: if there is neither, or the weights do not fit the network
        FileNotFoundError, ValueError: from `read_evaluated`
    """
    if checkpoint is None:
        if network is None:
            raise ValueError(
                "scheme frozen needs --model.teacher_checkpoint or a --model.teacher with weights"
            )
        return network
    option = "--model.teacher_checkpoint"
    checkpoint = os.path.expanduser(checkpoint)
    saved = read_evaluated(checkpoint, option)
    fitting = "--model.teacher" if network else "the network that it names"
    network = network or saved_network(saved, checkpoint, option, "--model.teacher")
    try:
        return load_network(network, saved)
    except RuntimeError as error:
        reason = brief(str(error))  # which also joins its lines
        raise ValueError(f"{option}={checkpoint} does not fit {fitting}: {reason}") from error


def check_split(checkpoint: str, data: LightningDataModule) -> None:
    """Refuses a teacher that has been trained on images which are for evaluation here.

    Args:
        checkpoint: path of the teacher's checkpoint
        data: what the student is trained on

    Raises:
        ValueError: if both are of one data set, split in two ways
    """
    saved = read_checkpoint(os.path.expanduser(checkpoint), "--model.teacher_checkpoint")
    other = saved.get("datamodule_hyper_parameters", {})
    if other.get("_class_path", "").rpartition(".")[2] != type(data).__name__:
        return
    for name in ("split_seed", "val_size", "test_size"):
        if name in other and other[name] != data.hparams.get(name):
            raise ValueError(
                f"--data.{name}={data.hparams.get(name)}, but the teacher was trained with "
                f"{other[name]}: it has seen images that are for evaluation here"
            )
