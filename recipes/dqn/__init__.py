"""Deep Q-networks: the value of each action is learned from what is remembered.

Mnih et al., "Human-level control through deep reinforcement learning" (2015),
https://doi.org/10.1038/nature14236; double: van Hasselt, Guez & Silver (2016),
https://arxiv.org/abs/1509.06461; duelling: Wang et al. (2016), https://arxiv.org/abs/1511.06581

    loss = (Q(s, a) - y)^2,   y = r + gamma max_b Q'(s', b),   nothing follows a terminated episode

Run:      python -m recipes.dqn fit --config recipes/dqn/cart_pole.yaml
Logs:     train/loss, train/value, train/epsilon, train/return (of the latest 100 episodes),
          environment_steps; val/return, val/length, and val/loss, the return with its sign changed;
          test/... likewise
Files:    returns in curves.png, an episode's film and strip in episode.gif and episode.png
Differs:  a truncated episode goes on in its value; the target network moves by updates, not steps
"""

from callbacks import film_episode  # noqa: F401
from recipes.dqn import networks  # noqa: F401 - known by their short names
from recipes.dqn.module import DQN

__all__ = ["DQN"]
