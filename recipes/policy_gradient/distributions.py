"""Distributions of actions: what a policy network's outputs mean, as pure functions."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from datamodules.environments.environment import Spaces


class Distribution(ABC):
    """Of actions, given a policy network's outputs (..., outputs)."""

    @staticmethod
    @abstractmethod
    def outputs(spaces: Spaces) -> int:
        """How many outputs a network needs."""

    @staticmethod
    @abstractmethod
    def noise(uniforms: Tensor) -> Tensor:
        """What actions are sampled by, of uniform random numbers (..., actions), from 0 to 1."""

    @staticmethod
    @abstractmethod
    def sample(outputs: Tensor, noise: Tensor) -> Tensor:
        """Actions: (...,) int64, or continuous ones (..., actions)."""

    @staticmethod
    @abstractmethod
    def mode(outputs: Tensor) -> Tensor:
        """The most probable actions."""

    @staticmethod
    @abstractmethod
    def log_prob(outputs: Tensor, actions: Tensor) -> Tensor:
        """Log of the probability, or density, of actions, nats, (...,)."""

    @staticmethod
    @abstractmethod
    def entropy(outputs: Tensor) -> Tensor:
        """Nats, (...,)."""


class Categorical(Distribution):
    """Of choices: the outputs are their logits."""

    @staticmethod
    def outputs(spaces: Spaces) -> int:
        return spaces.actions

    @staticmethod
    def noise(uniforms: Tensor) -> Tensor:
        """Gumbel's: the largest of logits plus noise is a sample (Gumbel 1954)."""
        return -(-uniforms.log()).log()

    @staticmethod
    def sample(outputs: Tensor, noise: Tensor) -> Tensor:
        return (outputs + noise).argmax(-1)

    @staticmethod
    def mode(outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    @staticmethod
    def log_prob(outputs: Tensor, actions: Tensor) -> Tensor:
        return outputs.log_softmax(-1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    @staticmethod
    def entropy(outputs: Tensor) -> Tensor:
        log_probs = outputs.log_softmax(-1)
        return -(log_probs.exp() * log_probs).sum(-1)


class Normal(Distribution):
    """Of independent numbers: the outputs are their means, then logs of their deviations."""

    @staticmethod
    def outputs(spaces: Spaces) -> int:
        return 2 * spaces.actions

    @staticmethod
    def noise(uniforms: Tensor) -> Tensor:
        return torch.special.ndtri(uniforms)

    @staticmethod
    def sample(outputs: Tensor, noise: Tensor) -> Tensor:
        mean, log_deviation = outputs.chunk(2, -1)
        return mean + log_deviation.exp() * noise

    @staticmethod
    def mode(outputs: Tensor) -> Tensor:
        return outputs.chunk(2, -1)[0]

    @staticmethod
    def log_prob(outputs: Tensor, actions: Tensor) -> Tensor:
        mean, log_deviation = outputs.chunk(2, -1)
        standardised = (actions - mean) / log_deviation.exp()
        each = -0.5 * standardised**2 - log_deviation - 0.5 * math.log(2 * math.pi)
        return each.sum(-1)

    @staticmethod
    def entropy(outputs: Tensor) -> Tensor:
        log_deviation = outputs.chunk(2, -1)[1]
        return (log_deviation + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)


def distribution_of(spaces: Spaces) -> type[Distribution]:
    """The distribution that actions of an environment are drawn from."""
    return Categorical if spaces.is_discrete else Normal
