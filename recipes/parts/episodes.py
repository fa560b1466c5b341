"""Episodes of an evaluation: played, logged, and what they are refused for."""

from collections.abc import Callable, Mapping

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from torch import Tensor

from datamodules.control import Control
from datamodules.environments.environment import Spaces
from datamodules.environments.streams import Streams
from recipes.parts.acting import Acting
from recipes.parts.logs import log_means, split_of

Act = Callable[[Tensor, Tensor, int], Tensor]  # observations, numbers of episodes, step
LONGEST = 100_000  # steps of an evaluation's episode


@torch.no_grad()
def play(streams: Streams, act: Act) -> tuple[Tensor, Tensor]:
    """Return and length of one episode of each environment, (batch,) float64 and int64.

    Args:
        streams: whose episodes have just begun
        act: the policy: chooses actions

    Raises:
        ValueError: if an episode does not end
    """
    returns = torch.full_like(streams.numbers, torch.nan, dtype=torch.double)
    lengths = torch.zeros_like(streams.numbers)
    step = 0
    while (under_way := returns.isnan()).any():
        found = streams.step(act(streams.observations, streams.numbers, step)).returns
        lengths += under_way
        returns = torch.where(under_way, found, returns)
        step += 1
        if step == LONGEST:
            raise ValueError(
                f"--data: an episode of the evaluation has not ended after {LONGEST:,} steps: the "
                "environment needs a limit, such as --data.options.max_episode_steps of gymnasium"
            )
    return returns, lengths


def check_task(trainer: Trainer) -> None:
    """Refuses data that are no environments, and strategies that split a network.

    Args:
        trainer: about to do anything

    Raises:
        ValueError: naming the option
    """
    spaces_of(trainer.datamodule)
    if isinstance(trainer.strategy, (FSDPStrategy, ModelParallelStrategy)):
        raise ValueError(
            f"--trainer.strategy={type(trainer.strategy).__name__}: a policy acts by its whole "
            "network, on each process"
        )


def spaces_of(data: LightningDataModule | None) -> Spaces:
    """What a policy sees and does in an environment.

    Args:
        data: that are one

    Raises:
        ValueError: if they are none
    """
    if not isinstance(data, Control):
        kind = type(data).__name__
        raise ValueError(f"--data={kind} has no environments: such as --data=CartPole")
    return data.spaces


def evaluate(module: LightningModule, numbers: Tensor) -> dict[str, Tensor]:
    """Plays episodes with a module's `act`, and logs their mean return and length.

    Args:
        module: whose evaluation or prediction it is
        numbers: of the episodes, (batch,)

    Returns:
        return and length of each episode
    """
    trainer = module.trainer
    split = "predict" if trainer.predicting else split_of(trainer)
    returns, lengths = play(trainer.datamodule.streams(numbers, split), module.act)
    if split != "predict":
        means = {"return": returns.mean(), "length": lengths.double().mean()}
        named = {f"{split}/{name}": value for name, value in means.items()}
        log_means(module, named | {f"{split}/loss": -means["return"]}, len(numbers))
    return {"return": returns, "length": lengths}


def in_words(metrics: Mapping[str, Tensor], acting: Acting | None) -> str:
    """What a policy collects at the end of a fit.

    Args:
        metrics: logged
        acting: the environments of training; None where other processes have trained (ddp_spawn)
    """
    parts = [f"evaluation {float(metrics['val/return']):.1f}"] if "val/return" in metrics else []
    if acting is not None and (count := len(acting.returns)):
        mean = float(acting.returns.mean())
        parts.append(f"the latest {count} episodes of training {mean:.1f}")
    return f"return: {', '.join(parts)}" if parts else ""
