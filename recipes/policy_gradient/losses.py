"""The equations of policy gradients, as pure functions."""

import torch
from torch import Tensor


def generalized_advantages(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    over: Tensor,
    discount: float,
    gae_lambda: float,
) -> Tensor:
    """Generalized advantage estimates, (environments, steps): Schulman et al. 2016, equation 16.

        delta_t = r_t + gamma V(s_t+1) - V(s_t),    A_t = delta_t + gamma lambda A_t+1

    Nothing follows a terminated episode: V(s_t+1) is 0 there. A truncated one would have gone on:
    V(s_t+1) is that of its true last observation. Neither sum goes on beyond an episode's end.

    Args:
        rewards: r_t; these and the others: (environments, steps)
        values: V(s_t)
        next_values: V(s_t+1)
        terminated: whether the episode terminated in this step
        over: whether it terminated or was truncated
        discount: gamma, 0 to 1
        gae_lambda: lambda; 0: one step's temporal difference; 1: the return minus V(s_t)
    """
    deltas = rewards + discount * next_values.masked_fill(terminated, 0.0) - values
    decays = discount * gae_lambda * (~over).to(deltas.dtype)
    advantage, found = torch.zeros_like(deltas[:, 0]), []
    for delta, decay in zip(reversed(deltas.unbind(1)), reversed(decays.unbind(1)), strict=True):
        advantage = delta + decay * advantage
        found.append(advantage)
    return torch.stack(found[::-1], 1)


def policy_loss(log_probs: Tensor, old: Tensor, advantages: Tensor, clip: float | None) -> Tensor:
    """What a policy minimises, of each action, (batch,).

    Without a clip -log pi(a) A, whose gradient is the policy gradient (Williams 1992; A2C: Mnih et
    al. 2016). With it, Schulman et al. 2017, equation 7: -min(r A, clip(r, 1 - e, 1 + e) A) with
    the ratio r = pi(a) / pi_old(a).

    Args:
        log_probs: log pi(a), nats, (batch,)
        old: log pi_old(a), of the policy that acted, nats, (batch,)
        advantages: A, (batch,)
        clip: e
    """
    if clip is None:
        return -log_probs * advantages
    ratio = (log_probs - old).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def value_loss(values: Tensor, old: Tensor, targets: Tensor, clip: float | None) -> Tensor:
    """Half the squared error of each value, (batch,).

    With a clip, that of the worse of V and V_old + clip(V - V_old, -e, e), which is no part of the
    paper, but of the authors' code.

    Args:
        values: V(s), (batch,)
        old: V_old(s), as it was when the policy acted, (batch,)
        targets: A + V_old(s), (batch,)
        clip: e
    """
    errors = (values - targets).square()
    if clip is not None:
        near = old + (values - old).clamp(-clip, clip)
        errors = torch.maximum(errors, (near - targets).square())
    return errors / 2
