"""Where a run is in its iterations: environments, what they have given, and minibatches of it."""

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule
from torch import Tensor

from datamodules.loading.loader import data_rank
from datamodules.loading.missing import is_known
from recipes.parts.acting import Acting, gathered, of_this_process
from recipes.parts.sharding import data_group
from recipes.policy_gradient.rollout import Rollout, orders

ORDER = 3  # in the key of minibatches


class Progress:
    """The environments of a fit, and the iteration that is under way.

    An iteration is a rollout and the updates that learn from it: passes over it, each in
    minibatches. All of it is in checkpoints, as plain tensors: a run that is killed between two
    updates goes on with the next minibatch of the same rollout.

    Args:
        module: that is trained
        parts: minibatches of a pass
        passes: over a rollout

    Attributes:
        acting: the environments
        updates: so far
    """

    def __init__(self, module: LightningModule, parts: int, passes: int) -> None:
        self.module, self.parts, self.passes = module, parts, passes
        self.acting = Acting(module)
        self.updates = 0
        self.rollout: Rollout | None = None

    @property
    def iterations(self) -> int:
        """How many have begun, before an update; within one, the number of its successor."""
        return -(-self.updates // (self.passes * self.parts))

    @property
    def is_iteration_over(self) -> bool:
        """Whether the next update needs a new rollout."""
        return self.updates % (self.passes * self.parts) == 0

    def begin_iteration(self, rollout: Rollout, returns: Tensor) -> None:
        """Takes a rollout, and the returns of episodes that ended, (steps, environments)."""
        self.acting.took(int(self._sum(is_known(rollout.targets).sum())), returns)
        self._share_out(rollout, self.iterations)

    def next_minibatch(self) -> tuple[Rollout, Tensor, Tensor]:
        """The rows of the next update; mean and deviation of its advantages on all processes."""
        number = self.updates % (self.passes * self.parts)
        self.updates += 1
        rows = self.rollout.at(self.orders[number])
        return rows, self.means[number], self.deviations[number]

    def _share_out(self, rollout: Rollout, iteration: int) -> None:
        """Decides which steps are in which minibatch."""
        self.rollout = rollout
        numbers, steps = self.acting.streams.numbers, rollout.targets.shape[1]
        order = orders(numbers, steps, self.passes, self.acting.seed, ORDER, iteration)
        cut = order.unflatten(2, (self.parts, steps // self.parts))
        self.orders = cut.transpose(1, 2).flatten(0, 1)  # (updates, environments, count)
        each = torch.stack((rollout.advantages.double(), is_known(rollout.targets).double()))
        rows = torch.arange(len(numbers), device=numbers.device).unsqueeze(1)
        advantages, known = each[:, rows, self.orders].flatten(2)  # (updates, minibatch)
        count = self._sum(known.sum(1))
        means = self._sum((advantages * known).sum(1)) / count
        squares = self._sum(((advantages - means.unsqueeze(1)).square() * known).sum(1))
        dtype = rollout.advantages.dtype
        self.means, self.deviations = means.to(dtype), (squares / (count - 1)).sqrt().to(dtype)

    def _sum(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if data_rank(self.module.trainer)[1] > 1:
            dist.all_reduce(values, group=data_group(self.module))
        return values

    def state(self) -> dict[str, Any]:
        """All of it, of all processes, as plain tensors and numbers."""
        rollout = {} if self.is_iteration_over or not self.rollout else self.rollout.state()
        return {
            "updates": self.updates,
            "acting": self.acting.state(),
            "rollout": gathered(rollout, self.module),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Goes on from what `state` has returned."""
        self.updates = saved["updates"]
        self.acting.restore(saved["acting"])
        if saved["rollout"]:
            rollout = Rollout(**of_this_process(saved["rollout"], self.module))
            # Another process's episodes may have been longer than all of this one's.
            self._share_out(rollout.until_the_last_known(), self.iterations - 1)
