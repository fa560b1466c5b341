"""Episodes of reinforcement learning: those of an evaluation, the latest returns, and states."""

from collections.abc import Callable, Mapping

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from torch import Tensor

from datamodules.control import Control
from datamodules.environments.streams import Streams
from datamodules.loading.loader import data_rank
from recipes.parts.logs import log_means
from recipes.parts.sharding import data_group

LATEST = 100  # episodes that train/return is the mean of
Act = Callable[[Tensor, Tensor, int], Tensor]  # observations, numbers of episodes, step


@torch.no_grad()
def play(streams: Streams, act: Act) -> tuple[Tensor, Tensor]:
    """Return and length of one episode of each environment, (batch,) float64 and int64.

    Args:
        streams: whose episodes have just begun
        act: the policy: chooses actions
    """
    returns = torch.full_like(streams.numbers, torch.nan, dtype=torch.double)
    lengths = torch.zeros_like(streams.numbers)
    step = 0
    while (under_way := returns.isnan()).any():
        found = streams.step(act(streams.observations, streams.numbers, step)).returns
        lengths += under_way
        returns = torch.where(under_way, found, returns)
        step += 1
    return returns, lengths


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
            between processes in its second one is filled up with zeros
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
    """Tensors with zeros behind, so that all are as long in the second dimension."""
    if parts[0].ndim < 2:
        return parts
    longest = max(part.shape[1] for part in parts)
    return [
        torch.cat((part, part.new_zeros(len(part), longest - part.shape[1], *part.shape[2:])), 1)
        for part in parts
    ]


def of_this_process(state: dict[str, Tensor], module: LightningModule) -> dict[str, Tensor]:
    """The state of this process's environments, on its device, of those of all."""
    rank, processes = data_rank(module.trainer)
    return {n: value[rank::processes].contiguous().to(module.device) for n, value in state.items()}


def check_task(trainer: Trainer) -> None:
    """Refuses data that are no environments, and strategies that split a network.

    Args:
        trainer: about to do anything

    Raises:
        ValueError: naming the option
    """
    if not isinstance(trainer.datamodule, Control):
        kind = type(trainer.datamodule).__name__
        raise ValueError(f"--data={kind} has no environments: such as --data=CartPole")
    if isinstance(trainer.strategy, (FSDPStrategy, ModelParallelStrategy)):
        raise ValueError(
            f"--trainer.strategy={type(trainer.strategy).__name__}: a policy acts by its whole "
            "network: --config=ddp"
        )


def evaluate(module: LightningModule, numbers: Tensor) -> dict[str, Tensor]:
    """Plays episodes with a module's `act`, and logs their mean return and length.

    Args:
        module: whose evaluation or prediction it is
        numbers: of the episodes, (batch,)

    Returns:
        return and length of each episode
    """
    trainer = module.trainer
    split = "predict" if trainer.predicting else "test" if trainer.testing else "val"
    returns, lengths = play(trainer.datamodule.streams(numbers, split), module.act)
    if split != "predict":
        means = {"return": returns.mean(), "length": lengths.double().mean()}
        named = {f"{split}/{name}": value for name, value in means.items()}
        log_means(module, named | {f"{split}/loss": -means["return"]}, len(numbers))
    return {"return": returns, "length": lengths}


def in_words(metrics: Mapping[str, Tensor], returns: Tensor) -> str:
    """What a policy collects at the end of a fit.

    Args:
        metrics: logged
        returns: of the latest episodes of training, (episodes,)
    """
    parts = [f"evaluation {float(metrics['val/return']):.1f}"] if "val/return" in metrics else []
    if count := len(returns):
        parts.append(f"the latest {count} episodes of training {float(returns.mean()):.1f}")
    return f"return: {', '.join(parts)}" if parts else ""
