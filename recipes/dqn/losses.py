"""The equations of deep Q-networks, as pure functions."""

import torch
from torch import Tensor


def next_values(target: Tensor, online: Tensor | None = None) -> Tensor:
    """What can be collected from the next state on, as the target network has it, (batch,).

    max_a Q'(s', a): Mnih et al. 2015. With the online network's values Q'(s', argmax_a Q(s', a)),
    so that what chooses is not what judges: double Q-learning, van Hasselt et al. 2016, equation 4.

    Args:
        target: Q'(s', a), (batch, actions)
        online: Q(s', a), likewise
    """
    best = (target if online is None else online).argmax(1, keepdim=True)
    return target.gather(1, best).squeeze(1)


def n_step(
    rewards: Tensor,
    following: Tensor,
    terminated: Tensor,
    over: Tensor,
    discount: float,
    count: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns of n steps (Sutton 1988), less where an episode ends before.

        R = sum over k < m of gamma^k r_t+k,    y = R + gamma^m max_a Q'(s_t+m, a)

    m is n, or the number of steps to the episode's end. Nothing follows a termination; a truncated
    episode goes on in the value of its true last observation.

    Args:
        rewards: r_t, (environments, steps)
        following: s_t+1, (environments, steps, observation)
        terminated: (environments, steps)
        over: terminated or truncated, likewise
        discount: gamma
        count: n

    Returns:
        of the first steps - n + 1 steps: R; s_t+m; and gamma^m, or 0 where s_t+m has terminated
    """
    wanted = rewards.shape[1] - count + 1
    total = torch.zeros_like(rewards[:, :wanted])
    factor = torch.ones_like(total)
    runs = torch.ones_like(total, dtype=torch.bool)
    last = following[:, :wanted]
    for k in range(count):
        of_step = slice(k, k + wanted)
        total = total + torch.where(runs, factor * rewards[:, of_step], 0.0)
        last = torch.where(runs.unsqueeze(2), following[:, of_step], last)
        dies = runs & terminated[:, of_step]
        factor = torch.where(runs, factor * discount, factor).masked_fill(dies, 0.0)
        runs = runs & ~over[:, of_step]
    return total, last, factor


def epsilon(step: int, start: float, end: float, steps: int) -> float:
    """The probability of a random action: linear from start to end, then end.

    Args:
        step: of all environments so far
        start: at step 0
        end: from `steps` on
        steps: that it falls over
    """
    return end + (start - end) * max(0.0, 1 - step / steps)
