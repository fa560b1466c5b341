"""A car too weak for its hill, as gymnasium's MountainCar-v0."""

import math

import torch
from torch import Tensor

from datamodules.environments.environment import Environment, Outline, Spaces

LEFT, RIGHT, GOAL, FASTEST = -1.2, 0.6, 0.5, 0.07
FORCE, GRAVITY = 0.001, 0.0025


class MountainCarEnvironment(Environment):
    """Swings a car up a hill that its engine is too weak for.

    Moore, "Efficient memory-based learning for robot control" (1990). A state is position and
    speed, in units of the task's own; a step's reward is -1 until the goal is reached.
    """

    spaces = Spaces(observation=2, actions=3)
    limit, draws = 200, 1

    def begin(self, uniforms: Tensor) -> Tensor:
        position = uniforms.double() * 0.2 - 0.6
        return torch.cat((position, torch.zeros_like(position)), 1)

    def step(self, states: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        position, speed = states.unbind(1)
        speed = speed + ((actions.double() - 1) * FORCE - GRAVITY * (3 * position).cos())
        speed = speed.clamp(-FASTEST, FASTEST)
        position = (position + speed).clamp(LEFT, RIGHT)
        # The wall on the left takes the speed away.
        speed = torch.where((position == LEFT) & (speed < 0), 0.0, speed)
        terminated = (position >= GOAL) & (speed >= 0)
        return torch.stack((position, speed), 1), -torch.ones_like(speed), terminated

    def observe(self, states: Tensor) -> Tensor:
        return states

    def outline(self, state: Tensor) -> Outline:
        def hill(x: float) -> tuple[float, float]:
            return x, 0.45 * math.sin(3 * x) + 0.55

        x = float(state[0])
        ground = tuple(hill(LEFT + (RIGHT - LEFT) * step / 60) for step in range(61))
        foot = hill(GOAL)
        flag = (foot, (GOAL, foot[1] + 0.2))
        return Outline(
            *(LEFT, RIGHT, 0.0, 1.3),
            lines=(("#8a8f98", 2, ground), ("#d9822b", 3, flag)),
            discs=(("#2f6db5", 0.045, (x, hill(x)[1] + 0.045)),),
        )
