"""Networks that generate by class: what their labels must be."""

from lightning.pytorch import LightningDataModule
from torch import Tensor, nn

from datamodules.reading.classes import Classes
from recipes.parts.fitting import limit_labels


def check_labels(embedding: nn.Embedding | None, labels: Tensor | None) -> None:
    """Checks that a network with classes is given labels, and one without is not.

    Raises:
        ValueError: naming the option
    """
    if (embedding is None) != (labels is None):
        raise ValueError("a network has classes if --model.classes is given, and only then")


def check_classes(data: LightningDataModule | None, classes: int) -> None:
    """Refuses data of another number of classes, and from then on labels that are none of them.

    Args:
        data: set up; may have `class_count`, and what `limit_labels` asks for
        classes: that the networks know

    Raises:
        ValueError: naming the option
    """
    option = f"--model.classes={classes}"
    limit_labels(data, Classes(classes, option))
    there = getattr(data, "class_count", None)
    if there is not None and there < classes:  # samples of the others would be of nothing
        raise ValueError(f"{option}: --data={type(data).__name__} has {there} classes")
