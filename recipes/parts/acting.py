"""The environments of a fit: how far they are, what they have given, their part of checkpoints."""

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule
from torch import Tensor

from datamodules.loading.loader import data_rank
from recipes.parts.sharding import data_group

LATEST = 100  # episodes that train/return is the mean of


class Acting:
    """The environments that a policy acts in while it is trained.

    Args:
        module: that is trained

    Attributes:
        streams: this process's environments
        steps: so far, of all processes' environments
        returns: of the latest episodes, at most `LATEST`, in the order of their ends
    """

    def __init__(self, module: LightningModule) -> None:
        self.module, data = module, module.trainer.datamodule
        self.seed, self.count = data.seed, data.total
        self.streams = data.streams(data.numbers(module.device))
        self.steps = 0
        self.returns = torch.zeros(0, dtype=torch.double, device=module.device)

    def took(self, steps: int, returns: Tensor) -> None:
        """Notes steps. To be called by all processes.

        Args:
            steps: of all processes' environments
            returns: of episodes that ended, (steps, environments) of this process; elsewhere NaN
        """
        self.steps += steps
        self.returns = latest(self.returns, of_all_environments(returns, self.module))

    def totals(self) -> dict[str, Tensor]:
        """What is logged: steps so far, and the latest episodes' mean return, if there are any."""
        # Float32, Lightning's own choice, counts no further than 16,777,216.
        steps = torch.tensor(self.steps, dtype=torch.float64)
        mean = {"train/return": self.returns.mean()} if len(self.returns) else {}
        return {"environment_steps": steps} | mean

    def log_steps(self) -> None:
        """Logs the steps beside what an evaluation finds."""
        steps = self.totals()["environment_steps"].to(self.module.device)  # the same everywhere
        self.module.log("environment_steps", steps, batch_size=1, sync_dist=True)

    def state(self) -> dict[str, Any]:
        """All of it, of all processes, as plain tensors and numbers. To be called by all."""
        return {
            "steps": self.steps,
            "returns": self.returns.cpu().clone(),
            "environments": gathered(self.streams.state(), self.module),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Goes on from what `state` has returned.

        Raises:
            ValueError: if it is of another number of environments
        """
        before = len(saved["environments"]["episodes"])
        if before != self.count:
            raise ValueError(
                f"--data.environments: {self.count} on all processes, but the run was trained with "
                f"{before}"
            )
        self.steps = saved["steps"]
        self.returns = saved["returns"].to(self.module.device)
        self.streams.restore(of_this_process(saved["environments"], self.module))


def latest(before: Tensor, found: Tensor) -> Tensor:
    """The returns of the latest episodes, at most `LATEST`, in the order of their ends.

    Args:
        before: the latest ones so far, (episodes,)
        found: of all environments, (steps, environments); NaN where no episode ends
    """
    return torch.cat((before, found[~found.isnan()]))[-LATEST:]


def of_all_environments(values: Tensor, module: LightningModule) -> Tensor:
    """The values of all processes' environments, in the order of their numbers.

    To be called by all processes.

    Args:
        values: of this process's, (..., environments)
        module: that is trained
    """
    processes = data_rank(module.trainer)[1]
    if processes == 1:
        return values
    shares = [torch.empty_like(values) for _ in range(processes)]
    dist.all_gather(shares, values.contiguous(), group=data_group(module))
    # Process r has the environments r, r + processes, r + 2 processes ...
    return torch.stack(shares, -1).flatten(-2)


def gathered(state: dict[str, Tensor], module: LightningModule) -> dict[str, Tensor]:
    """A state of all processes' environments, on the CPU, in the order of their numbers.

    To be called by all processes.

    Args:
        state: of this process's; the first dimension is that of the environments. What differs
            between processes in its second one is filled up, as by `padded`
        module: that is trained
    """
    state = {name: value.cpu().clone() for name, value in state.items()}
    processes = data_rank(module.trainer)[1]
    if processes == 1:
        return state
    shares: list[dict[str, Tensor]] = [{} for _ in range(processes)]
    dist.all_gather_object(shares, state, group=data_group(module))
    return {name: torch.stack(padded([s[name] for s in shares]), 1).flatten(0, 1) for name in state}


def padded(parts: list[Tensor]) -> list[Tensor]:
    """Tensors with NaN behind, or 0 of whole numbers, all as long in the second dimension."""
    if parts[0].ndim < 2:
        return parts
    longest, filling = max(part.shape[1] for part in parts), 0
    if parts[0].is_floating_point():
        filling = torch.nan
    return [
        torch.cat(
            (part, part.new_full((len(part), longest - part.shape[1], *part.shape[2:]), filling)), 1
        )
        for part in parts
    ]


def of_this_process(state: dict[str, Tensor], module: LightningModule) -> dict[str, Tensor]:
    """The state of this process's environments, on its device, of those of all."""
    rank, processes = data_rank(module.trainer)
    return {n: value[rank::processes].contiguous().to(module.device) for n, value in state.items()}
