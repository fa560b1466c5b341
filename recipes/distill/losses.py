"""What a student learns from a teacher's logits: four losses, as functions and as config choices.

All take logits (batch, classes) of student and teacher, and are means over the batch.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.loading.missing import is_known
from recipes.parts.numbers import NonNegativeFinite

# Standard deviation of one sample's logits, below which relations are not made larger than they are
# there. A relation does not depend on the size of what it relates, so that its gradient grows as
# logits become equal: without this, to 1e7 in a network whose last layer starts at zero.
LEAST_SPREAD = 0.01


def kd(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(teacher || student) of the softened class distributions, in nats.

    The T^2 keeps the gradient's size independent of T (Hinton et al. 2015, section 2).

    Args:
        student: logits, (batch, classes)
        teacher: logits, (batch, classes)
        temperature: T > 0; above 1 it flattens both distributions
    """
    divergence = F.kl_div(
        F.log_softmax(student / temperature, dim=1),
        F.log_softmax(teacher / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return temperature**2 * divergence


def dkd(
    student: Tensor,
    teacher: Tensor,
    targets: Tensor,
    temperature: float,
    alpha: float = 1.0,
    beta: float | Tensor = 8.0,
) -> Tensor:
    """T^2 * (alpha * TCKD + beta * NCKD), in nats: decoupled knowledge distillation.

    TCKD is the KL divergence of (target, not target), NCKD that of the distributions over the
    other classes alone. KD is the case alpha = 1, beta = 1 - teacher's probability of the target
    (Zhao et al. 2022, equations 6 and 7, https://arxiv.org/abs/2203.08679).

    Args:
        student: logits, (batch, classes)
        teacher: logits, (batch, classes)
        targets: class numbers, (batch,); a missing one is taken to be the teacher's first choice
        temperature: T > 0
        alpha: weight of TCKD
        beta: weight of NCKD, one for all or (batch,)
    """
    targets = torch.where(is_known(targets), targets, teacher.argmax(1))
    is_target = F.one_hot(targets, student.shape[1]).bool()

    def split(logits: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of (target, not target), and of the other classes among themselves."""
        log_p = F.log_softmax(logits / temperature, dim=1)
        target = log_p[is_target]
        others = log_p[~is_target].view(len(logits), -1)
        rest = others.logsumexp(dim=1)
        return torch.stack([target, rest], dim=1), others - rest[:, None]

    (student_target, student_others), (teacher_target, teacher_others) = (
        split(student),
        split(teacher),
    )
    tckd = F.kl_div(student_target, teacher_target, reduction="none", log_target=True).sum(1)
    nckd = F.kl_div(student_others, teacher_others, reduction="none", log_target=True).sum(1)
    return temperature**2 * (alpha * tckd + beta * nckd).mean()


def pearson_distance(a: Tensor, b: Tensor, least: float = 0.0) -> Tensor:
    """One minus Pearson's correlation along the last dimension: 0 (affine, rising) to 2.

    Args:
        a: (..., n)
        b: (..., n)
        least: standard deviation, as a share of the mean, that smaller ones count as; the distance
            of values that are all equal is then 1
    """

    def unit(values: Tensor) -> Tensor:
        mean = values.mean(-1, keepdim=True)
        centred = values - mean
        floor = least * mean.detach().abs() * values.shape[-1] ** 0.5
        norm = centred.norm(dim=-1, keepdim=True)
        return centred / torch.maximum(norm, floor.clamp(min=1e-8))

    return 1 - (unit(a) * unit(b)).sum(-1)


def dist(
    student: Tensor, teacher: Tensor, temperature: float, beta: float = 1.0, gamma: float = 1.0
) -> Tensor:
    """T^2 * (beta * inter + gamma * intra), no unit: only the relations of probabilities count.

    Inter compares the classes of one sample, intra the samples of one class, both by Pearson's
    distance of the softened probabilities (Huang et al. 2022, equations 6 to 10,
    https://arxiv.org/abs/2205.10536; the T^2 is the authors' code's).

    Where logits spread by less than LEAST_SPREAD, over classes or over samples, they count as if
    they did by that much. So the norm of the gradient, by all of the student's logits together, is
    at most 2 T (beta + gamma) (1 + T / (LEAST_SPREAD sqrt(batch * classes))).

    Args:
        student: logits, (batch, classes)
        teacher: logits, (batch, classes)
        temperature: T > 0
        beta: weight of the relations between classes
        gamma: weight of the relations between samples
    """
    p_student, p_teacher = (student / temperature).softmax(1), (teacher / temperature).softmax(1)
    least = LEAST_SPREAD / temperature  # of probabilities near 1 / classes, as a share of them
    inter = pearson_distance(p_student, p_teacher, least).mean()
    intra = pearson_distance(p_student.T, p_teacher.T, least).mean()
    return temperature**2 * (beta * inter + gamma * intra)


def standardize(logits: Tensor) -> Tensor:
    """Each sample's logits with mean 0 and standard deviation 1.

    So the student need not match the size of the teacher's logits, only their relations
    (Sun et al. 2024, algorithm 1, https://arxiv.org/abs/2403.01427).

    Logits that deviate by less than LEAST_SPREAD count as if they did by that much: no gradient is
    made more than 1 / LEAST_SPREAD = 100 times as large. That of `kd` by all of the student's
    logits together is at most sqrt(2) T / (LEAST_SPREAD sqrt(batch)).

    Args:
        logits: (batch, classes)
    """
    std, mean = torch.std_mean(logits, dim=1, correction=0, keepdim=True)
    return (logits - mean) / std.clamp(min=LEAST_SPREAD)


class SoftLoss(ABC):
    """What `Distill` calls; a subclass of your own is named by its class_path."""

    @abstractmethod
    def __call__(
        self, student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
    ) -> Tensor:
        """The loss, a scalar, from logits (batch, classes) and class numbers (batch,)."""


class KD(SoftLoss):
    """Hinton's knowledge distillation: `kd`."""

    def __call__(
        self, student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
    ) -> Tensor:
        return kd(student, teacher, temperature)


class DKD(SoftLoss):
    """Decoupled knowledge distillation: `dkd`.

    Args:
        alpha: weight of the target's part
        beta: weight of the other classes' part
    """

    def __init__(self, alpha: NonNegativeFinite = 1.0, beta: NonNegativeFinite = 8.0) -> None:
        self.alpha, self.beta = alpha, beta

    def __call__(
        self, student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
    ) -> Tensor:
        return dkd(student, teacher, targets, temperature, self.alpha, self.beta)


class DIST(SoftLoss):
    """Correlations instead of divergences: `dist`.

    Args:
        beta: weight of the relations between classes
        gamma: weight of the relations between samples
    """

    def __init__(self, beta: NonNegativeFinite = 1.0, gamma: NonNegativeFinite = 1.0) -> None:
        self.beta, self.gamma = beta, gamma

    def __call__(
        self, student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
    ) -> Tensor:
        return dist(student, teacher, temperature, self.beta, self.gamma)


class StandardizedKD(SoftLoss):
    """Logit standardization: `kd` of logits that `standardize` has put on one scale."""

    def __call__(
        self, student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
    ) -> Tensor:
        return kd(standardize(student), standardize(teacher), temperature)
