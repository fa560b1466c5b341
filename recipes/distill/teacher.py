"""A trained teacher from a checkpoint or a class_path."""

import os

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import nn

from recipes.parts.averages import read_evaluated
from recipes.parts.brief import brief
from recipes.parts.checkpoints import read_checkpoint
from recipes.parts.saved import load_network, saved_network
from recipes.parts.weights import give

NEEDS = "--model.scheme=frozen needs --model.teacher_checkpoint, or --model.teacher_weights"


def load_teacher(
    network: nn.Module | None, checkpoint: str | None, weights: str | None = None
) -> nn.Module:
    """The teacher, with the weights that its own run evaluated.

    Args:
        network: the architecture; with its own weights if there is no checkpoint
        checkpoint: path of a checkpoint that recipes.classify saved; without `network`, the
            architecture is the one that its hyperparameters name
        weights: path of a file of weights of `network`, instead

    Raises:
        ValueError: if there is none of them, or both files, or the weights do not fit the network
        FileNotFoundError, ValueError: from `read_evaluated` and `give`
    """
    if weights is not None:
        if network is None or checkpoint is not None:
            raise ValueError("--model.teacher_weights needs a --model.teacher and no checkpoint")
        option = "--model.teacher_weights"
        rank_zero_info(give(network, weights, option, name="teacher", is_whole=True))
        return network
    if checkpoint is None:
        if network is None:
            raise ValueError(f"{NEEDS}, or a --model.teacher that brings its weights")
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


def check_same_classes(student: int | None, teacher: int | None) -> None:
    """Raises ValueError if student and teacher know another number of classes; None: not known."""
    if None not in (student, teacher) and student != teacher:
        classes = f"{student} and {teacher} classes"
        raise ValueError(f"--model.student and --model.teacher: {classes} do not fit")
