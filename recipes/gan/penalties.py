"""Penalties on the discriminator's gradient with respect to its inputs."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from recipes.gan.gradients import Critic, Method, gradient_norms
from recipes.parts.dropout import dropouts
from recipes.parts.numbers import PositiveFinite


def interpolate(one: Tensor, other: Tensor) -> Tensor:
    """A random point between each two examples, uniform on the line; all are (batch, ...)."""
    share = torch.rand(len(one), *[1] * (one.ndim - 1), dtype=one.dtype, device=one.device)
    return torch.lerp(one, other, share)


class Penalty(ABC):
    """weight * value(|gradient of the discriminator at points|); subclass it for one of your own.

    The gradient is of the discriminator's unbounded outputs with respect to its inputs as it sees
    them: images in [-1, 1], other data in their own unit.

    Args:
        weight: in the discriminator's loss, above 0
    """

    def __init__(self, weight: PositiveFinite = 10.0) -> None:
        self.weight = weight

    @abstractmethod
    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        """Where the gradient is looked at, (points, ...); real and fake are (batch, ...)."""

    @abstractmethod
    def value(self, norms: Tensor) -> Tensor:
        """The penalty without its weight, a scalar, of the gradient's norms, (points,)."""


class R1(Penalty):
    """weight / 2 * mean |gradient|^2 at the real examples.

    Mescheder et al. 2018, equation 9, https://arxiv.org/abs/1801.04406

    Args:
        weight: the paper's gamma, above 0
    """

    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        return real

    def value(self, norms: Tensor) -> Tensor:
        return norms.square().mean() / 2


class R2(Penalty):
    """weight / 2 * mean |gradient|^2 at the generated examples.

    Mescheder et al. 2018, equation 10, https://arxiv.org/abs/1801.04406

    Args:
        weight: the paper's gamma, above 0
    """

    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake

    def value(self, norms: Tensor) -> Tensor:
        return norms.square().mean() / 2


class GradientPenalty(Penalty):
    """WGAN-GP: weight * mean (|gradient| - 1)^2 at random points between real and generated ones.

    Gulrajani et al. 2017, equation 3, https://arxiv.org/abs/1704.00028

    Args:
        weight: the paper's lambda, above 0
    """

    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        return interpolate(real, fake)

    def value(self, norms: Tensor) -> Tensor:
        return (norms - 1).square().mean()


class ZeroCentered(Penalty):
    """0-GP: weight * mean |gradient|^2 at random points between real and generated examples.

    Thanh-Tung et al. 2019, https://arxiv.org/abs/1902.03984, whose code takes the
    gradient of the probability, sigmoid(output), where here it is that of the output.

    Args:
        weight: the paper's lambda, above 0
    """

    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        return interpolate(real, fake)

    def value(self, norms: Tensor) -> Tensor:
        return norms.square().mean()


class DRAGAN(Penalty):
    """DRAGAN: weight * mean (|gradient| - 1)^2 at random points near the real examples.

    At real + a * std(real) / 2 * u, with one a for an example and one u for a value, uniform in
    [0, 1), and the standard deviation of all values of the batch: as the authors' code, where
    Kodali et al. 2017, https://arxiv.org/abs/1705.07215, have normal noise.

    Args:
        weight: the paper's lambda, above 0
    """

    def points(self, real: Tensor, fake: Tensor) -> Tensor:
        return interpolate(real, real + real.std(correction=0) / 2 * torch.rand_like(real))

    def value(self, norms: Tensor) -> Tensor:
        return (norms - 1).square().mean()


def total(
    critic: Critic,
    penalties: Iterable[Penalty],
    real: Tensor,
    fake: Tensor,
    method: Method = "exact",
) -> Tensor:
    """The weighted sum of penalties, a scalar to add to the discriminator's loss.

    Args:
        critic: gives one output for each of (batch, ...) examples, also of twice as many
        penalties: at least one
        real: (batch, ...), as the critic sees them
        fake: (batch, ...), likewise; what made them is not differentiated
        method: how the gradient's norm is differentiated: `gradient_norms`
    """
    fake = fake.to(real.dtype)  # under mixed precision it comes rounded
    return sum(
        penalty.weight * penalty.value(gradient_norms(critic, penalty.points(real, fake), method))
        for penalty in penalties
    )


def refuse_batch_norm(discriminator: nn.Module) -> None:
    """Refuses to penalise a network with batch-norm.

    With it, the gradient at one example depends on the whole batch: Gulrajani et al. 2017,
    section 4.

    Raises:
        ValueError: naming the layer, and what to use instead
    """
    for name, module in discriminator.named_modules():
        if isinstance(module, _BatchNorm):
            raise ValueError(
                f"--model.discriminator has {type(module).__name__} ({name}), so an example's "
                "gradient depends on the batch: --model.penalties needs one without, or with "
                "GroupNorm or --model.spectral_norm=true instead"
            )


def refuse_dropout(discriminator: nn.Module) -> None:
    """Refuses finite differences of a network with dropout, which differs from pass to pass.

    Raises:
        ValueError: naming the options
    """
    if found := dropouts(discriminator):
        raise ValueError(
            f"--model.discriminator has {type(found[0]).__name__}, which differs from point to "
            "point: --model.penalty_method=exact, or a discriminator without"
        )
