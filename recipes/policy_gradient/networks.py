"""A policy and a value network, as CleanRL and the authors of PPO initialise them."""

import math

import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from recipes.parts.networks import Head, Width


def layers(inputs: int, widths: list[int], outputs: int, gain: float) -> nn.Sequential:
    """Fully connected layers with tanh between them, orthogonal, with biases of 0.

    Args:
        inputs: values in an observation
        widths: units of each hidden layer, whose weights have a gain of sqrt(2)
        outputs: of the last layer
        gain: of its weights
    """
    sizes, made = [inputs, *widths], []
    for fan_in, fan_out in zip(sizes, widths, strict=False):
        made += [orthogonal(nn.Linear(fan_in, fan_out), math.sqrt(2)), nn.Tanh()]
    return nn.Sequential(*made, orthogonal(Head(sizes[-1], outputs), gain))


def orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    """Gives a layer orthogonal weights (Saxe et al. 2014) times a gain, and no bias."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class LogDeviation(nn.Module):
    """Appends the logs of deviations, which no observation changes, to means (batch, actions)."""

    def __init__(self, actions: int, initial: float) -> None:
        super().__init__()
        self.log_deviation = nn.Parameter(torch.full((actions,), initial))

    def forward(self, means: Tensor) -> Tensor:
        return torch.cat((means, self.log_deviation.expand_as(means)), -1)


class ActorCritic(nn.Module):
    """Two networks: the policy's outputs, (batch, outputs), and the values, (batch,).

    Args:
        inputs: values in an observation
        widths: units of each hidden layer, of both networks
        outputs: of the policy: a logit for each choice; of continuous actions the means, then the
            logs of the deviations
        gain: of the policy's last layer; small, so that all actions are as probable at first
    """

    def __init__(
        self,
        inputs: Width,
        widths: list[PositiveInt],
        outputs: Width,
        gain: float = 0.01,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.policy = layers(inputs, widths, outputs, gain)
        self.value = layers(inputs, widths, 1, 1.0)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        return self.policy(observations), self.value(observations).squeeze(-1)


class GaussianActorCritic(ActorCritic):
    """The same for continuous actions, with deviations that do not depend on the observation.

    Args:
        inputs: values in an observation
        widths: units of each hidden layer, of both networks
        outputs: twice the values in an action
        gain: of the means' last layer
        initial: log of the deviations at first
    """

    def __init__(
        self,
        inputs: Width,
        widths: list[PositiveInt],
        outputs: Width,
        gain: float = 0.01,
        initial: float = 0.0,
    ) -> None:
        actions, rest = divmod(outputs, 2)
        if rest:
            raise ValueError(
                f"outputs={outputs}: a mean and a deviation for each part of an action"
            )
        super().__init__(inputs, widths, actions, gain)
        self.policy.append(LogDeviation(actions, initial))
