"""What an environment is: pure functions on batches of states."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Spaces:
    """What a policy sees and does.

    Attributes:
        observation: values in an observation
        actions: choices of an action; of a continuous action, the values in it
        low: least value of each part of a continuous action; None of discrete ones
        high: greatest value, likewise
    """

    observation: int
    actions: int
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None

    @property
    def is_discrete(self) -> bool:
        """Whether an action is one of several choices."""
        return self.low is None


class Environment(ABC):
    """A kind of environment: where episodes begin, and what an action does.

    All methods are pure functions on batches, row by row, so that thousands of environments run at
    once, on any device. States are float64, as gymnasium's are.

    Attributes:
        spaces: of observations and actions
        limit: steps after which an episode is truncated
        draws: random numbers that an episode begins with
        frames_per_second: of a film in the environment's own time
    """

    spaces: Spaces
    limit: int
    draws: int
    frames_per_second: int = 30

    @abstractmethod
    def begin(self, uniforms: Tensor) -> Tensor:
        """The states that episodes begin in, (batch, state) float64.

        Args:
            uniforms: (batch, draws), from 0 to below 1
        """

    @abstractmethod
    def step(self, states: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The next states, (batch, state); rewards, (batch,) float64; and which have terminated.

        Args:
            states: (batch, state) float64
            actions: (batch,) int64; continuous ones (batch, actions), which are clipped
        """

    @abstractmethod
    def observe(self, states: Tensor) -> Tensor:
        """What a policy sees of states, (batch, observation) float64."""

    def outline(self, state: Tensor) -> "Outline | None":
        """What a film shows of one state, (state,); None if there is no picture of it."""
        return None


@dataclass(frozen=True)
class Outline:
    """A drawing of a state, in the environment's own units.

    Attributes:
        left: edge of the picture
        right: edge
        bottom: edge
        top: edge
        lines: each a color, a width in pixels, and the points (x, y) that it leads through
        discs: each a color, a radius, and the point that it is around
    """

    left: float
    right: float
    bottom: float
    top: float
    lines: tuple[tuple[str, int, tuple[tuple[float, float], ...]], ...]
    discs: tuple[tuple[str, float, tuple[float, float]], ...] = ()
