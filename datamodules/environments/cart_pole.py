"""A pole on a cart, as gymnasium's CartPole-v1."""

import math

import torch
from torch import Tensor

from datamodules.environments.environment import Environment, Outline, Spaces

GRAVITY, CART, POLE, HALF_LENGTH = 9.8, 1.0, 0.1, 0.5  # m/s^2, kg, kg, m
MASS = CART + POLE
FORCE, SECONDS = 10.0, 0.02  # N; of a step
FARTHEST, STEEPEST = 2.4, math.radians(12)  # m, rad: beyond them an episode terminates


class CartPoleEnvironment(Environment):
    """Pushes a cart to the left or right so that the pole on it stays upright.

    Barto, Sutton & Anderson, "Neuronlike adaptive elements that can solve difficult learning
    control problems" (1983), with the equations of Florian, "Correct equations for the dynamics of
    the cart-pole system" (2007), integrated by Euler's method as gymnasium does. A state is
    position (m), speed (m/s), angle (rad), and its speed (rad/s); a step's reward is 1.
    """

    spaces = Spaces(observation=4, actions=2)
    limit, draws, frames_per_second = 500, 4, 50

    def begin(self, uniforms: Tensor) -> Tensor:
        return uniforms.double() * 0.1 - 0.05

    def step(self, states: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, speed, angle, turning = states.unbind(1)
        cosine, sine = angle.cos(), angle.sin()
        push = (actions * (2 * FORCE) - FORCE + POLE * HALF_LENGTH * turning.square() * sine) / MASS
        of_angle = (GRAVITY * sine - cosine * push) / (
            HALF_LENGTH * (4 / 3) - (HALF_LENGTH * POLE / MASS) * cosine.square()
        )
        of_cart = push - (POLE * HALF_LENGTH / MASS) * of_angle * cosine
        rates = torch.stack((speed, of_cart, turning, of_angle), 1)
        states = torch.add(states, rates, alpha=SECONDS)
        terminated = (states[:, 0].abs() > FARTHEST) | (states[:, 2].abs() > STEEPEST)
        return states, torch.ones_like(x), terminated

    def observe(self, states: Tensor) -> Tensor:
        return states

    def outline(self, state: Tensor) -> Outline:
        x, _, angle, _ = state.tolist()
        tip = (x + 2 * HALF_LENGTH * math.sin(angle), 2 * HALF_LENGTH * math.cos(angle))
        return Outline(
            *(-FARTHEST, FARTHEST, -0.4, 1.3),
            lines=(
                ("#8a8f98", 1, ((-FARTHEST, -0.12), (FARTHEST, -0.12))),
                ("#2f6db5", 14, ((x - 0.25, 0.0), (x + 0.25, 0.0))),
                ("#d9822b", 5, ((x, 0.0), tip)),
            ),
        )
