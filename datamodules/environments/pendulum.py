"""A pendulum that is swung up, as gymnasium's Pendulum-v1."""

import math

import torch
from torch import Tensor

from datamodules.environments.environment import Environment, Outline, Spaces

GRAVITY, FASTEST, STRONGEST, SECONDS = 10.0, 8.0, 2.0, 0.05  # m/s^2, rad/s, N m, of a step


class PendulumEnvironment(Environment):
    """Swings a pendulum up by a torque too weak to lift it, and holds it there.

    A state is the angle from upright (rad) and its speed (rad/s); length and mass are 1. A step's
    reward is -(angle^2 + 0.1 speed^2 + 0.001 torque^2), with the angle between -pi and pi. No
    episode terminates: all are truncated.
    """

    spaces = Spaces(observation=3, actions=1, low=(-STRONGEST,), high=(STRONGEST,))
    limit, draws = 200, 2

    def begin(self, uniforms: Tensor) -> Tensor:
        return (uniforms.double() * 2 - 1) * uniforms.new_tensor((math.pi, 1.0), dtype=torch.double)

    def step(self, states: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        angle, speed = states.unbind(1)
        torque = actions.double().squeeze(1).clamp(-STRONGEST, STRONGEST)
        wrapped = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
        cost = wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2
        speed = speed + (1.5 * GRAVITY * angle.sin() + 3 * torque) * SECONDS
        speed = speed.clamp(-FASTEST, FASTEST)
        states = torch.stack((angle + speed * SECONDS, speed), 1)
        return states, -cost, torch.zeros_like(cost, dtype=torch.bool)

    def observe(self, states: Tensor) -> Tensor:
        angle, speed = states.unbind(1)
        return torch.stack((angle.cos(), angle.sin(), speed), 1)

    def outline(self, state: Tensor) -> Outline:
        angle = float(state[0])
        tip = (math.sin(angle), math.cos(angle))
        return Outline(
            *(-1.3, 1.3, -1.3, 1.3),
            lines=(("#d9822b", 8, ((0.0, 0.0), tip)),),
            discs=(("#333333", 0.06, (0.0, 0.0)),),
        )
