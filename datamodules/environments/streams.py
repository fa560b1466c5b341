"""Environments that run side by side, each from one episode to the next."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from datamodules.environments.environment import Environment, Spaces
from datamodules.loading.keyed import uniforms

EPISODES = 2**32  # more than an environment can have


class Step(NamedTuple):
    """What a step of each environment has brought.

    Attributes:
        observations: behind the step, (batch, observation), float32: at an episode's end the true
            last one, and not the first one of the next episode
        rewards: (batch,) float32
        terminated: where the episode is over by the task's own rule, and nothing follows, (batch,)
        truncated: where it is only not continued, by the limit of steps, (batch,)
        returns: the sum of rewards of the episodes that are over, (batch,) float64; elsewhere NaN
    """

    observations: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    returns: Tensor


class Streams(ABC):
    """Environments side by side; an episode's end begins the next one in the same step.

    How an episode begins is a pure function of (seed, number of the environment, number of its
    episode): it depends neither on how environments are shared out among processes, nor on what
    was drawn before.

    Args:
        spaces: of observations and actions
        numbers: of the environments, (batch,) int64
        seed: of all beginnings

    Attributes:
        observations: that the next actions answer to, (batch, observation) float32
    """

    observations: Tensor

    def __init__(self, spaces: Spaces, numbers: Tensor, seed: int) -> None:
        self.spaces, self.numbers, self.seed = spaces, numbers, seed

    @abstractmethod
    def step(self, actions: Tensor) -> Step:
        """Has each environment take a step.

        Args:
            actions: (batch,) int64; continuous ones (batch, actions), clipped to their bounds
        """

    @abstractmethod
    def begin_all(self, episode: int = 0) -> None:
        """Ends all episodes, and begins those of a number."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """All that the environments go on from: tensors whose first dimension is the batch's."""

    @abstractmethod
    def restore(self, state: dict[str, Tensor]) -> None:
        """Goes on from what `state` has returned, of environments of the same numbers."""


class TensorStreams(Streams):
    """Environments that are pure functions on tensors, all stepped at once.

    Args:
        environment: of all
        numbers: as in Streams; on the device that all is computed on
        seed: as in Streams
    """

    def __init__(self, environment: Environment, numbers: Tensor, seed: int) -> None:
        super().__init__(environment.spaces, numbers, seed)
        self.environment = environment
        self.begin_all()

    def step(self, actions: Tensor) -> Step:
        self.states, rewards, terminated = self.environment.step(self.states, actions)
        self.elapsed += 1
        self.returns += rewards
        over = self.elapsed >= self.environment.limit
        truncated, over = over & ~terminated, over | terminated
        seen = self.environment.observe(self.states).float()
        returns = torch.where(over, self.returns, torch.nan)
        self.observations = seen
        # Asking a GPU would wait for it; there the next episodes are drawn in vain.
        if over.device.type != "cpu" or over.any():
            self._begin(over)
        return Step(seen, rewards.float(), terminated, truncated, returns)

    def begin_all(self, episode: int = 0) -> None:
        self.episodes = torch.full((len(self.numbers),), episode - 1, device=self.numbers.device)
        count = len(self.numbers)
        draws = torch.zeros(count, self.environment.draws, device=self.numbers.device)
        self.states = self.environment.begin(draws)  # of the right shape; replaced below
        self.elapsed = torch.zeros_like(self.numbers)
        self.returns = torch.zeros(count, dtype=torch.double, device=self.numbers.device)
        self._begin(torch.ones_like(self.numbers, dtype=torch.bool))

    def _begin(self, where: Tensor) -> None:
        """Begins the next episodes, where a mask (batch,) is true."""
        self.episodes = self.episodes + where
        keys = self.numbers * EPISODES + self.episodes
        begun = self.environment.begin(uniforms(keys, self.environment.draws, self.seed))
        self.states = torch.where(where.unsqueeze(1), begun, self.states)
        self.elapsed = self.elapsed.masked_fill(where, 0)
        self.returns = self.returns.masked_fill(where, 0.0)
        self.observations = self.environment.observe(self.states).float()

    def state(self) -> dict[str, Tensor]:
        names = ("states", "elapsed", "episodes", "returns")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Tensor]) -> None:
        for name, value in state.items():
            setattr(self, name, value.to(self.numbers.device))
        self.observations = self.environment.observe(self.states).float()
