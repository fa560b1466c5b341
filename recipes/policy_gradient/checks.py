"""What policy gradients are refused for, in one line, before the first step."""

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import nn

from datamodules.control import Control
from recipes.parts.episodes import check_task
from recipes.parts.fitting import named, outputs
from recipes.policy_gradient.distributions import Distribution


def check_setup(trainer: Trainer) -> None:
    """Refuses data that are no environments, and strategies that split a network.

    Raises:
        ValueError: naming the option
    """
    check_task(trainer)


def check_network(
    network: nn.Module,
    distribution: type[Distribution],
    data: Control | LightningDataModule,
    device: torch.device,
) -> None:
    """Refuses a network that does not fit the environment.

    Args:
        network: of policy and values
        distribution: of actions
        data: the environment
        device: that the network lies on

    Raises:
        ValueError: naming the option
    """
    count = data.spaces.observation
    weight = next(network.parameters(), torch.zeros(0))
    seen = torch.zeros(2, count, device=device, dtype=weight.dtype)
    found = outputs(network, "--model.network", f"observations ({count},)", seen)
    if not (isinstance(found, tuple) and len(found) == 2 and found[1].shape == (2,)):
        raise ValueError(
            "--model.network gives no pair of outputs (batch, outputs), values (batch,)"
        )
    there, wanted = found[0].shape[1], distribution.outputs(data.spaces)
    if there != wanted:
        given = named(network, "--model.network", "outputs", there) or f"{there} outputs"
        raise ValueError(f"{given}, but the environment's actions need {wanted}")


def minibatches(trainer: Trainer, steps: int | None, passes: int) -> int:
    """How many minibatches a rollout is cut into.

    Args:
        trainer: about to take its first step
        steps: of each environment in a rollout; None: whole episodes
        passes: over a rollout

    Raises:
        ValueError: if batches do not divide what is collected, or accumulated ones are of several
            policies, naming the options
    """
    data = trainer.datamodule
    size, count = data.batch_size, data.environments
    if steps is None:
        if size != "full":
            raise ValueError(f"--data.batch_size={size}: of whole episodes, --data.batch_size=full")
        if data.limit is None:
            raise ValueError("--model.steps=null needs an environment whose episodes have a limit")
        check_accumulation(trainer, 1, passes)
        return 1
    parts, rest = divmod(count * steps, count * steps if size == "full" else size)
    if rest or not parts or steps % parts:
        raise ValueError(
            f"--data.batch_size={size} of {count} environments x {steps} steps: give "
            f"{count} times a divisor of {steps}"
        )
    check_accumulation(trainer, parts, passes)
    return parts


def check_accumulation(trainer: Trainer, parts: int, passes: int) -> None:
    """Refuses steps of several passes or policies. One pass of one minibatch is of one policy.

    Args:
        trainer: about to take its first step
        parts: minibatches of a pass
        passes: over a rollout

    Raises:
        ValueError: naming the options
    """
    accumulated, batches = trainer.accumulate_grad_batches, trainer.num_training_batches
    if accumulated == 1 or parts == passes == 1:
        return
    if parts % accumulated:
        way = f"a divisor of {parts}" if parts > 1 else "1, or --model.passes=1"
        raise ValueError(
            f"--trainer.accumulate_grad_batches={accumulated}: a step would be of several passes "
            f"over a rollout of {parts} minibatches: give {way}"
        )
    if batches % accumulated and trainer.max_epochs != 1:
        raise ValueError(
            f"--trainer.accumulate_grad_batches={accumulated}: an epoch of {batches} batches ends "
            "within a step, and later ones would be of several rollouts: give --data.batches a "
            f"multiple of {accumulated}"
        )
