"""How examples become noise: a path from one to the other, and what a network learns of it.

    x_t = signal(t) x_0 + scale(t) e,    e standard normal,    t from 0 (data) to 1 (noise)

Each prediction is an affine function of x_0 and e, so that with x_t it gives both.
"""

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from jsonargparse.typing import restricted_number_type
from torch import Tensor

Schedule = Literal["linear", "cosine"]
Prediction = Literal["epsilon", "x0", "v"]
Steps = restricted_number_type("Steps", int, [(">=", 2), ("<=", 2**20)])

OFFSET = 0.008  # of the cosine schedule
LARGEST_BETA = 0.999  # likewise


class Estimate(NamedTuple):
    """What a noisy example is taken to be made of, or is made of."""

    x0: Tensor  # the example, (batch, ...)
    noise: Tensor  # e, of the same shape


def linear_betas(steps: int) -> Tensor:
    """Variances b_t of each step's noise, from 1e-4 to 0.02 for 1,000 steps: (steps,) float64.

    Ho et al. 2020, section 4, https://arxiv.org/abs/2006.11239; for another number of steps both
    ends are multiplied by 1,000 / steps, so that as little of the example is left at the end.
    """
    first, last = (min(1000 / steps * end, LARGEST_BETA) for end in (1e-4, 0.02))
    return torch.linspace(first, last, steps, dtype=torch.float64)


def cosine_betas(steps: int) -> Tensor:
    """Variances b_t of each step's noise, (steps,) float64, at most 0.999.

    Their cumulated products are f(t) / f(0), f(t) = cos^2((t + 0.008) / 1.008 * pi / 2): Nichol &
    Dhariwal 2021, equation 17, https://arxiv.org/abs/2102.09672
    """
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    left = torch.cos((times + OFFSET) / (1 + OFFSET) * math.pi / 2).square()
    return (1 - left[1:] / left[:-1]).clamp(max=LARGEST_BETA)


def cumulated(betas: Tensor) -> Tensor:
    """abar_t = (1 - b_1) ... (1 - b_t), and abar_0 = 1: (steps + 1,). Ho et al. 2020, equation 4.

    Args:
        betas: of each step, (steps,)
    """
    return torch.cat([betas.new_ones(1), (1 - betas).cumprod(0)])


def mixed(x0: Tensor, noise: Tensor, signal: Tensor, scale: Tensor) -> Tensor:
    """x_t = signal x_0 + scale e: Ho et al. 2020, equation 4.

    Args:
        x0: examples, (batch, ...)
        noise: standard normal, of the same shape
        signal: of each example, (batch, 1, ...)
        scale: of each example's noise, likewise
    """
    return signal * x0 + scale * noise


def like(values: Tensor, examples: Tensor) -> Tensor:
    """One number an example, (batch,), in the type and with the dimensions of (batch, ...)."""
    return values.to(examples).view(-1, *[1] * (examples.ndim - 1))


class Path(ABC):
    """From examples to noise; subclass it for one of your own.

    Times t are from 0, the example, to 1, noise: (batch,) float32.
    """

    @abstractmethod
    def times(self, random: Tensor) -> Tensor:
        """The times to train at, (batch,), from uniform numbers (batch,), 0 to below 1."""

    @abstractmethod
    def coefficients(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """signal(t) and scale(t), (batch,) float64 each."""

    @abstractmethod
    def target(self, parts: Estimate, times: Tensor) -> Tensor:
        """What the network is to predict of x_t's parts, (batch, ...)."""

    @abstractmethod
    def parts(self, output: Tensor, x_t: Tensor, times: Tensor) -> Estimate:
        """The parts of x_t (batch, ...), by a prediction (batch, ...): the inverse of `target`."""

    @abstractmethod
    def grid(self, steps: int | None) -> Tensor:
        """The times that a sampler goes through, from 1 to 0, (steps + 1,) float32.

        Args:
            steps: None: as many as the path has, if it has so many and no more

        Raises:
            ValueError: naming the option, if the path has fewer
        """

    def noisy(self, parts: Estimate, times: Tensor) -> Tensor:
        """x_t, (batch, ...), of examples and noise."""
        signal, scale = (like(each, parts.x0) for each in self.coefficients(times))
        return mixed(*parts, signal, scale)

    def recomposed(self, x0: Tensor, x_t: Tensor, times: Tensor) -> Estimate:
        """The parts of x_t (batch, ...), if its example is x0 (batch, ...); times above 0."""
        signal, scale = (like(each, x_t) for each in self.coefficients(times))
        return Estimate(x0, (x_t - signal * x0) / scale)


class DDPM(Path):
    """A diffusion process of discrete steps that keeps the variance: signal^2 + scale^2 = 1.

    q(x_t | x_(t-1)) = N(sqrt(1 - b_t) x_(t-1), b_t), so that q(x_t | x_0) = N(sqrt(abar_t) x_0,
    1 - abar_t): Ho et al. 2020, equations 2 and 4, https://arxiv.org/abs/2006.11239. The loss is
    their L_simple (equation 14), of epsilon or one of the other predictions.

    Args:
        prediction: epsilon: the noise e (Ho et al. 2020); x0: the example; v: signal e - scale x_0
            (Salimans & Ho 2022, appendix D, https://arxiv.org/abs/2202.00512)
        schedule: linear (Ho et al. 2020), or cosine (Nichol & Dhariwal 2021)
        steps: of the process, T
    """

    def __init__(
        self, prediction: Prediction = "epsilon", schedule: Schedule = "linear", steps: Steps = 1000
    ) -> None:
        self.prediction, self.schedule, self.steps = prediction, schedule, steps
        self.abar = cumulated(linear_betas(steps) if schedule == "linear" else cosine_betas(steps))

    def times(self, random: Tensor) -> Tensor:
        return ((random.double() * self.steps).floor() + 1).float() / self.steps

    def coefficients(self, times: Tensor) -> tuple[Tensor, Tensor]:
        abar = self.abar.to(times.device)[(times * self.steps).round().long()]
        return abar.sqrt(), (1 - abar).sqrt()

    def target(self, parts: Estimate, times: Tensor) -> Tensor:
        if self.prediction == "epsilon":
            return parts.noise
        if self.prediction == "x0":
            return parts.x0
        signal, scale = (like(each, parts.x0) for each in self.coefficients(times))
        return signal * parts.noise - scale * parts.x0

    def parts(self, output: Tensor, x_t: Tensor, times: Tensor) -> Estimate:
        signal, scale = (like(each, x_t) for each in self.coefficients(times))
        if self.prediction == "epsilon":
            return Estimate((x_t - scale * output) / signal, output)
        if self.prediction == "x0":
            return Estimate(output, (x_t - signal * output) / scale)
        return Estimate(signal * x_t - scale * output, scale * x_t + signal * output)

    def grid(self, steps: int | None) -> Tensor:
        steps = steps or self.steps
        if steps > self.steps:
            raise ValueError(f"--model.sampler.steps={steps}, but --model.path.steps={self.steps}")
        numbers = torch.linspace(self.steps, 0, steps + 1, dtype=torch.float64).round()
        return numbers.float() / self.steps


class RectifiedFlow(Path):
    """A straight line from the example to noise, x_t = (1 - t) x_0 + t e, and its velocity.

    The network learns dx_t/dt = e - x_0: Liu et al. 2023, equation 1,
    https://arxiv.org/abs/2209.03003; Lipman et al. 2023, equation 23 with sigma_min 0,
    https://arxiv.org/abs/2210.02747. Both have time run the other way, from noise to data.
    """

    def times(self, random: Tensor) -> Tensor:
        return random.float()

    def coefficients(self, times: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - times.double(), times.double()

    def target(self, parts: Estimate, times: Tensor) -> Tensor:
        return parts.noise - parts.x0

    def parts(self, output: Tensor, x_t: Tensor, times: Tensor) -> Estimate:
        signal, scale = (like(each, x_t) for each in self.coefficients(times))
        return Estimate(x_t - scale * output, x_t + signal * output)

    def grid(self, steps: int | None) -> Tensor:
        return torch.linspace(1, 0, steps + 1, dtype=torch.float32)
