"""Two links that hang from a joint, as gymnasium's Acrobot-v1."""

import math

import torch
from torch import Tensor

from datamodules.environments.environment import Environment, Outline, Spaces

GRAVITY, CENTRE, SECONDS = 9.8, 0.5, 0.2  # m/s^2; m from a link's joint; of a step
FASTEST = (4 * math.pi, 9 * math.pi)  # rad/s, of each link


def rates(states: Tensor, torque: Tensor) -> Tensor:
    """How fast a state changes, (batch, 4): Sutton & Barto 2018, section 11.3 of the first edition.

    Both links have a length and a mass of 1, and a moment of inertia of 1.

    Args:
        states: angles (rad) of the first link from hanging down and of the second from the first,
            and their speeds (rad/s), (batch, 4)
        torque: between the links, N m, (batch,)
    """
    first, second, turning, bending = states.unbind(1)
    cosine, sine = second.cos(), second.sin()
    d1 = CENTRE**2 + (1 + CENTRE**2 + 2 * CENTRE * cosine) + 2
    d2 = CENTRE**2 + CENTRE * cosine + 1
    weight2 = CENTRE * GRAVITY * (first + second).sin()  # sin(x) is cos(x - pi / 2)
    weight1 = (
        -CENTRE * bending**2 * sine
        - 2 * CENTRE * bending * turning * sine
        + (CENTRE + 1) * GRAVITY * first.sin()
        + weight2
    )
    of_second = (torque + d2 / d1 * weight1 - CENTRE * turning**2 * sine - weight2) / (
        CENTRE**2 + 1 - d2**2 / d1
    )
    of_first = -(d2 * of_second + weight1) / d1
    return torch.stack((turning, bending, of_first, of_second), 1)


class AcrobotEnvironment(Environment):
    """Swings two links up until the tip is a link's length above the joint.

    Sutton, "Generalization in reinforcement learning: successful examples using sparse coarse
    coding" (1996), the version of the book. A step is one of Runge and Kutta's of fourth order; its
    reward is -1, and 0 when the tip is high enough.
    """

    spaces = Spaces(observation=6, actions=3)
    limit, draws, frames_per_second = 500, 4, 15

    def begin(self, uniforms: Tensor) -> Tensor:
        return uniforms.double() * 0.2 - 0.1

    def step(self, states: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        torque = actions - 1.0
        k1 = rates(states, torque)
        k2 = rates(states + SECONDS / 2 * k1, torque)
        k3 = rates(states + SECONDS / 2 * k2, torque)
        k4 = rates(states + SECONDS * k3, torque)
        states = states + SECONDS / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        angles, speeds = states.split(2, 1)
        angles = angles - 2 * math.pi * (angles / (2 * math.pi)).round()
        speeds = speeds.clamp(-speeds.new_tensor(FASTEST), speeds.new_tensor(FASTEST))
        states = torch.cat((angles, speeds), 1)
        terminated = -angles[:, 0].cos() - angles.sum(1).cos() > 1
        return states, terminated.double() - 1, terminated

    def observe(self, states: Tensor) -> Tensor:
        first, second, turning, bending = states.unbind(1)
        angles = (first.cos(), first.sin(), second.cos(), second.sin())
        return torch.stack((*angles, turning, bending), 1)

    def outline(self, state: Tensor) -> Outline:
        first, second, _, _ = state.tolist()
        middle = (math.sin(first), -math.cos(first))
        tip = (middle[0] + math.sin(first + second), middle[1] - math.cos(first + second))
        return Outline(
            *(-2.2, 2.2, -2.2, 2.2),
            lines=(
                ("#8a8f98", 1, ((-2.2, 1.0), (2.2, 1.0))),
                ("#2f6db5", 6, ((0.0, 0.0), middle)),
                ("#d9822b", 6, (middle, tip)),
            ),
            discs=(("#333333", 0.08, (0.0, 0.0)), ("#333333", 0.08, middle)),
        )
