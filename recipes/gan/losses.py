"""The games that discriminator and generator play: a loss of each, of the discriminator's outputs.

All take the outputs for as many real as generated examples, (batch,) or (batch, 1), unbounded and
larger for what looks real, and give a scalar to minimise: a mean over the examples of this process.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import Tensor
from torch.nn.functional import relu, softplus

Name = Literal[
    "minimax",
    "non_saturating",
    "least_squares",
    "wasserstein",
    "hinge",
    "relativistic_paired",
    "relativistic_average",
]


class Loss(NamedTuple):
    """A game: what each of the two networks minimises, of the outputs for real and fake."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor | None, Tensor], Tensor]  # None but for those in RELATIVISTIC


def minimax_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-mean log sigmoid(real) - mean log(1 - sigmoid(fake)), in nats.

    Goodfellow et al. 2014, equation 1, https://arxiv.org/abs/1406.2661.
    """
    return softplus(-real).mean() + softplus(fake).mean()


def minimax_generator(real: Tensor | None, fake: Tensor) -> Tensor:
    """Mean log(1 - sigmoid(fake)), in nats: at most 0, and flat where the fakes are found out."""
    return -softplus(fake).mean()


def non_saturating_generator(real: Tensor | None, fake: Tensor) -> Tensor:
    """-mean log sigmoid(fake), in nats: steep where the fakes are found out.

    Goodfellow et al. 2014, section 3. The discriminator's loss is that of minimax.
    """
    return softplus(-fake).mean()


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """1/2 mean (real - 1)^2 + 1/2 mean fake^2.

    Mao et al. 2017, equation 9, https://arxiv.org/abs/1611.04076.
    """
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def least_squares_generator(real: Tensor | None, fake: Tensor) -> Tensor:
    """1/2 mean (fake - 1)^2: Mao et al. 2017, equation 9."""
    return (fake - 1).square().mean() / 2


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Mean fake - mean real: minus an estimate of the Wasserstein distance, in units of the data.

    It is one only for a discriminator of slope 1 at most, up to a factor where the bound is
    another (Arjovsky et al. 2017, equation 2, https://arxiv.org/abs/1701.07875).
    """
    return fake.mean() - real.mean()


def wasserstein_generator(real: Tensor | None, fake: Tensor) -> Tensor:
    """-mean fake: Arjovsky et al. 2017, algorithm 1."""
    return -fake.mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Mean max(0, 1 - real) + mean max(0, 1 + fake): flat beyond the margins 1 and -1.

    Lim & Ye 2017, https://arxiv.org/abs/1705.02894; Miyato et al. 2018, equation 16,
    https://arxiv.org/abs/1802.05957. The generator's loss is that of wasserstein.
    """
    return relu(1 - real).mean() + relu(1 + fake).mean()


def relativistic_paired_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-mean log sigmoid(real_i - fake_i), in nats.

    RSGAN: Jolicoeur-Martineau 2018, section 4, https://arxiv.org/abs/1807.00734; as RpGAN the loss
    of R3GAN, beside R1 and R2: Huang et al. 2024, section 2, https://arxiv.org/abs/2501.05441.
    """
    return softplus(fake.flatten() - real.flatten()).mean()


def relativistic_paired_generator(real: Tensor, fake: Tensor) -> Tensor:
    """-mean log sigmoid(fake_i - real_i), in nats."""
    return relativistic_paired_discriminator(fake, real)


def relativistic_average_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """-mean log sigmoid(real - mean fake) - mean log(1 - sigmoid(fake - mean real)), in nats.

    RaSGAN: Jolicoeur-Martineau 2018, section 4, https://arxiv.org/abs/1807.00734. In a
    distributed run the averages, which are within the logarithm, are of each process's own
    examples: then, as with another batch size, it is not quite the loss of one process.
    """
    return softplus(fake.mean() - real).mean() + softplus(fake - real.mean()).mean()


def relativistic_average_generator(real: Tensor, fake: Tensor) -> Tensor:
    """-mean log sigmoid(fake - mean real) - mean log(1 - sigmoid(real - mean fake)), in nats."""
    return relativistic_average_discriminator(fake, real)


# The games whose generator's loss looks at the real examples too.
RELATIVISTIC = frozenset({"relativistic_paired", "relativistic_average"})

LOSSES: dict[Name, Loss] = {
    "minimax": Loss(minimax_discriminator, minimax_generator),
    "non_saturating": Loss(minimax_discriminator, non_saturating_generator),
    "least_squares": Loss(least_squares_discriminator, least_squares_generator),
    "wasserstein": Loss(wasserstein_discriminator, wasserstein_generator),
    "hinge": Loss(hinge_discriminator, wasserstein_generator),
    "relativistic_paired": Loss(relativistic_paired_discriminator, relativistic_paired_generator),
    "relativistic_average": Loss(
        relativistic_average_discriminator, relativistic_average_generator
    ),
}
