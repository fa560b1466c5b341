"""Policy gradients: REINFORCE, A2C and PPO learn to act from rewards alone.

REINFORCE: Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist
Reinforcement Learning" (1992); A2C: Mnih et al., "Asynchronous Methods for Deep Reinforcement
Learning" (2016), https://arxiv.org/abs/1602.01783; PPO: Schulman et al., "Proximal Policy
Optimization Algorithms" (2017), https://arxiv.org/abs/1707.06347

    loss = -min(r A, clip(r, 1 - e, 1 + e) A) + c (V - target)^2 / 2 - b H,   r = pi(a) / pi_old(a)

Run:      python -m recipes.policy_gradient fit --config recipes/policy_gradient/cart_pole.yaml
Logs:     train/loss, train/policy, train/value, train/entropy (nats), train/kl, train/clipped,
          train/return (of the latest 100 episodes), environment_steps; val/return, val/length, and
          val/loss, the return with its sign changed; test/... likewise
Files:    returns in curves.png, an episode's film and strip in episode.gif and episode.png
Differs:  a truncated episode goes on in its value; minibatches take as much of each environment
"""

from callbacks import film_episode  # noqa: F401 - known by its short name
from recipes.policy_gradient import networks  # noqa: F401 - likewise
from recipes.policy_gradient.module import PolicyGradient

__all__ = ["PolicyGradient"]
