"""From noise to examples, step by step: ancestral, DDIM, and solvers of a differential equation."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, Literal, NamedTuple

from jsonargparse.typing import ClosedUnitInterval, PositiveInt
from torch import Tensor

from recipes.diffusion.process import DDPM, Estimate, Path, RectifiedFlow, like

# The parts of x_t (batch, ...) at a time, (batch,).
Denoise = Callable[[Tensor, Tensor], Estimate]
# Standard normal numbers (batch, ...) of a step, by its number.
Draw = Callable[[int], Tensor]


class Step(NamedTuple):
    """One step of a sampler, from a time to an earlier one."""

    number: int  # from 0
    is_last: bool  # to time 0
    now: Tensor  # (batch,)
    later: Tensor  # (batch,), nearer to 0


class Sampler(ABC):
    """Draws examples; subclass it for one of your own.

    Args:
        steps: from noise to an example; None: as many as the path has

    Attributes:
        path: the kind that it can go
        other: what goes another kind, for messages
        adds_noise: whether it needs random numbers on its way
    """

    path: ClassVar[type[Path]] = DDPM
    other: ClassVar[str] = "Euler or Heun"
    adds_noise = False

    def __init__(self, steps: PositiveInt | None) -> None:
        self.steps = steps

    def check(self, path: Path) -> None:
        """Refuses a path that it cannot go, or that has fewer steps.

        Raises:
            ValueError: naming the options
        """
        if not isinstance(path, self.path):
            given, name = type(path).__name__, type(self).__name__
            raise ValueError(
                f"--model.sampler={name} is of --model.path={self.path.__name__}: {self.other} "
                f"goes a {given}"
            )
        path.grid(self.steps)

    def take(self, steps: int, path: Path) -> None:
        """Takes another number of steps.

        Raises:
            ValueError: naming the option
        """
        self.steps = steps
        self.check(path)

    def states(self, denoise: Denoise, x: Tensor, path: Path, draw: Draw) -> Iterator[Tensor]:
        """What each step makes of x, (batch, ...): the last is an example.

        Args:
            denoise: tells the parts of x at a time
            x: standard normal, (batch, ...)
            path: whose noise is removed
            draw: noise that is added on the way
        """
        times = path.grid(self.steps).to(x.device)
        last = len(times) - 2
        for number in range(last + 1):
            span = (times[k].expand(len(x)) for k in (number, number + 1))
            x = self.step(denoise, x, path, Step(number, number == last, *span), draw)
            yield x

    @abstractmethod
    def step(self, denoise: Denoise, x: Tensor, path: Path, step: Step, draw: Draw) -> Tensor:
        """What a step makes of x, (batch, ...); arguments as of `states`."""


class Ancestral(Sampler):
    """All steps of the process in reverse, each with new noise: Ho et al. 2020, algorithm 2.

    x_(t-1) = mean of q(x_(t-1) | x_t, x_0) + sigma_t z, with the network's x_0: equations 6 and 7.

    Args:
        variance: sigma_t^2: posterior: (1 - abar_(t-1)) / (1 - abar_t) b_t, the least that it can
            be; beta: b_t, the most (Ho et al. 2020, section 3.2)
    """

    adds_noise = True

    def __init__(self, variance: Literal["posterior", "beta"] = "posterior") -> None:
        super().__init__(None)
        self.variance = variance

    def take(self, steps: int, path: Path) -> None:
        raise ValueError(f"--steps={steps}: Ancestral takes all of the path's: DDIM takes fewer")

    def step(self, denoise: Denoise, x: Tensor, path: Path, step: Step, draw: Draw) -> Tensor:
        abar, abar_later = (path.coefficients(t)[0].square() for t in (step.now, step.later))
        beta = 1 - abar / abar_later
        posterior = (1 - abar_later) / (1 - abar) * beta
        of_x0 = abar_later.sqrt() * beta / (1 - abar)
        of_x = (1 - beta).sqrt() * (1 - abar_later) / (1 - abar)
        mean = like(of_x0, x) * denoise(x, step.now).x0 + like(of_x, x) * x
        if step.is_last:  # an example, without noise
            return mean
        variance = posterior if self.variance == "posterior" else beta
        return mean + like(variance.sqrt(), x) * draw(step.number)


class DDIM(Sampler):
    """Fewer steps, with less noise or none: Song et al. 2021, equations 12 and 16.

    x_s = sqrt(abar_s) x_0 + sqrt(1 - abar_s - sigma^2) e + sigma z, with the network's x_0 and e,
    sigma = eta sqrt((1 - abar_s) / (1 - abar_t)) sqrt(1 - abar_t / abar_s).
    https://arxiv.org/abs/2010.02502

    Args:
        steps: from noise to an example, at equal distances of the process's steps
        eta: 0: no noise is added, and an example is a function of its first noise; 1: as much as
            in the process's reverse; with all steps it is Ancestral with the posterior variance
    """

    def __init__(self, steps: PositiveInt = 50, eta: ClosedUnitInterval = 0.0) -> None:
        super().__init__(steps)
        self.eta, self.adds_noise = float(eta), eta > 0

    def step(self, denoise: Denoise, x: Tensor, path: Path, step: Step, draw: Draw) -> Tensor:
        abar, abar_later = (path.coefficients(t)[0].square() for t in (step.now, step.later))
        variance = self.eta**2 * (1 - abar_later) / (1 - abar) * (1 - abar / abar_later)
        of_noise = (1 - abar_later - variance).clamp(min=0).sqrt()
        x0, noise = denoise(x, step.now)
        x_later = like(abar_later.sqrt(), x) * x0 + like(of_noise, x) * noise
        if step.is_last or not self.adds_noise:
            return x_later
        return x_later + like(variance.sqrt(), x) * draw(step.number)


def velocity(parts: Estimate) -> Tensor:
    """dx_t/dt = e - x_0 of a straight path, (batch, ...)."""
    return parts.noise - parts.x0


class Euler(Sampler):
    """Solves dx/dt = e - x_0 from noise to data by Euler's method: Liu et al. 2023, section 2.1.

    Args:
        steps: of equal length, a pass of the network each
    """

    path, other = RectifiedFlow, "DDIM or Ancestral"

    def __init__(self, steps: PositiveInt = 50) -> None:
        super().__init__(steps)

    def step(self, denoise: Denoise, x: Tensor, path: Path, step: Step, draw: Draw) -> Tensor:
        return x + like(step.later - step.now, x) * velocity(denoise(x, step.now))


class Heun(Euler):
    """Solves dx/dt = e - x_0 by Heun's method, of second order: Karras et al. 2022, algorithm 1.

    The last step is Euler's. https://arxiv.org/abs/2206.00364

    Args:
        steps: of equal length, two passes of the network each
    """

    def __init__(self, steps: PositiveInt = 25) -> None:
        super().__init__(steps)

    def step(self, denoise: Denoise, x: Tensor, path: Path, step: Step, draw: Draw) -> Tensor:
        length, first = like(step.later - step.now, x), velocity(denoise(x, step.now))
        if step.is_last:
            return x + length * first
        second = velocity(denoise(x + length * first, step.later))
        return x + length * (first + second) / 2
