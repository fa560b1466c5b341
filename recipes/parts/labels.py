"""Cross-entropy, accuracy and errors of a classifier's logits."""

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.loading.missing import MISSING, is_known
from datamodules.reading.classes import Classes, check_class_numbers, check_type
from recipes.parts.known import class_numbers


def cross_entropies(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each example, in nats, (batch,); 0 where the target is missing.

    Szegedy et al. 2016, section 7, for label smoothing.

    Args:
        logits: (batch, classes)
        targets: (batch,), class numbers; or (batch, classes), the classes' shares
        smoothing: s, share of the target spread evenly over all classes, from 0 to below 1

    Raises:
        ValueError: if labels are no int64, or one is no class; for the latter a GPU ends the
            process instead
    """
    if targets.ndim == 1:
        return _cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
    known = is_known(class_numbers(targets))
    shares = torch.where(known.unsqueeze(1), targets, 0).to(logits.dtype)
    losses = F.cross_entropy(logits, shares, label_smoothing=smoothing, reduction="none")
    return torch.where(known, losses, 0)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of the `cross_entropies` of examples whose targets are known."""
    return _cross_entropy(logits, targets)


def _cross_entropy(logits: Tensor, targets: Tensor, **options: float | str) -> Tensor:
    check_type(targets)
    try:
        # torch's own default leaves out -100.
        return F.cross_entropy(logits, targets, ignore_index=MISSING, **options)
    except IndexError:
        classes = Classes(logits.shape[1], "the network")
        check_class_numbers(targets[is_known(targets)], classes, lambda _: "--data: a batch")
        raise


def accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Share of examples whose largest logit is the target's, 0 to 1.

    Args:
        logits: (batch, classes)
        targets: (batch,), class numbers
    """
    return (logits.argmax(1) == targets).to(logits.dtype).mean()


def errors(logits: Tensor, targets: Tensor) -> Tensor:
    """Number of examples whose largest logit is not the target's; shapes as in `accuracy`."""
    return (logits.argmax(1) != targets).sum().float()
