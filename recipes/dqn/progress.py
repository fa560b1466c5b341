"""What a Q-network's run has experienced: environments, transitions under way, and the replay."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from datamodules.loading.loader import keyed_generator
from recipes.dqn.losses import n_step
from recipes.dqn.replay import Replay, Transitions
from recipes.parts.acting import Acting

REPLAY = 2  # in the key of the rows that an update learns from
Steps = dict[str, Tensor]  # (environments, steps, ...) each, as in `n_step`


class Progress:
    """The environments of a fit, and what it learns from. All of it is in checkpoints.

    Args:
        module: that is trained
        memory: transitions of the replay
        discount: gamma
        n_steps: of a return

    Attributes:
        acting: the environments
        updates: so far
    """

    def __init__(self, module: LightningModule, memory: int, discount: float, n_steps: int) -> None:
        self.module, self.discount, self.n_steps = module, discount, n_steps
        self.acting = Acting(module)
        self.replay = Replay(memory, self.acting.streams.spaces.observation, module.device)
        self.updates = 0
        self.waiting: Steps = {}  # the latest n - 1 steps, whose return is not known yet

    def add(self, steps: Steps, returns: Tensor) -> None:
        """Takes steps of the environments, and the returns of episodes that ended.

        Args:
            steps: observations, actions, rewards, following, terminated, over
            returns: (steps, environments), elsewhere NaN
        """
        self.acting.took(steps["rewards"].numel(), returns)
        if self.waiting:
            steps = {k: torch.cat((self.waiting[k], value), 1) for k, value in steps.items()}
        known = steps["rewards"].shape[1] - self.n_steps + 1
        if known > 0:
            names = ("rewards", "following", "terminated", "over")
            found = n_step(*(steps[name] for name in names), self.discount, self.n_steps)
            begun = steps["observations"][:, :known], steps["actions"][:, :known]
            # In the order of time, environment by environment.
            columns = (column.transpose(0, 1).flatten(0, 1) for column in (*begun, *found))
            self.replay.add(Transitions(*columns))
        self.waiting = {k: value[:, max(known, 0) :] for k, value in steps.items()}

    def sample(self, count: int) -> Transitions:
        """The rows of the next update: a pure function of the seed and its number."""
        self.updates += 1
        return self.replay.sample(count, keyed_generator(self.acting.seed, REPLAY, self.updates))

    def state(self) -> dict[str, Any]:
        """All of it, as plain tensors and numbers."""
        return {
            "updates": self.updates,
            "acting": self.acting.state(),
            "replay": self.replay.state(),
            "waiting": {name: value.cpu().clone() for name, value in self.waiting.items()},
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Goes on from what `state` has returned."""
        self.updates = saved["updates"]
        self.acting.restore(saved["acting"])
        self.replay.restore(saved["replay"])
        device = self.module.device
        self.waiting = {name: value.to(device) for name, value in saved["waiting"].items()}
