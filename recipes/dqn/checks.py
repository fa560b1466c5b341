"""What a deep Q-network is refused for, in one line, before the first step."""

import torch
from lightning.pytorch import Trainer
from torch import nn

from datamodules.control import Control
from recipes.parts.episodes import check_task
from recipes.parts.fitting import named, outputs


def check_setup(trainer: Trainer) -> None:
    """Refuses data that are no environments with choices, several processes, and accumulation.

    Raises:
        ValueError: naming the option
    """
    check_task(trainer)
    data = trainer.datamodule
    if not data.spaces.is_discrete:
        raise ValueError(
            f"--data={type(data).__name__} has continuous actions, of which none is the best of "
            "several: python -m recipes.policy_gradient"
        )
    if trainer.world_size > 1:
        raise ValueError(
            f"--trainer.devices={trainer.world_size}: the replay is of one process; "
            "--data.environments has more of them side by side"
        )
    if data.batch_size == "full":
        raise ValueError("--data.batch_size=full: rows are drawn from the replay: give a number")
    if (accumulated := trainer.accumulate_grad_batches) > 1:
        raise ValueError(
            f"--trainer.accumulate_grad_batches={accumulated}: rows are drawn from the replay: "
            f"--data.batch_size={accumulated * data.batch_size} takes as many for a step"
        )


def check_warmup(warmup: int, steps: int, n_steps: int, environments: int) -> None:
    """Refuses a first update before anything can be remembered.

    Args:
        warmup: steps of all environments before it
        steps: of each environment that belong to an update
        n_steps: that a transition is of
        environments: their number

    Raises:
        ValueError: naming the options
    """
    if -(-warmup // environments) + steps < n_steps:
        least = (n_steps - steps) * environments
        raise ValueError(
            f"--model.warmup={warmup}: nothing is remembered before the first update, as a "
            f"transition is of --model.n_steps={n_steps}: give {least} or more"
        )


def check_network(network: nn.Module, data: Control, device: torch.device) -> None:
    """Refuses a network that does not fit the environment.

    Args:
        network: maps observations to the values of actions
        data: the environment
        device: that the network lies on

    Raises:
        ValueError: naming the option
    """
    count, wanted = data.spaces.observation, data.spaces.actions
    weight = next(network.parameters(), torch.zeros(0))
    seen = torch.zeros(2, count, device=device, dtype=weight.dtype)
    found = outputs(network, "--model.network", f"observations ({count},)", seen)
    if found.shape != (2, wanted):
        there = found.shape[-1]
        given = named(network, "--model.network", "outputs", there) or f"{there} outputs"
        raise ValueError(f"{given}, but the environment has {wanted} actions")
