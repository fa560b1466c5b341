"""The transitions that a Q-network learns from: the latest ones, in a ring."""

import os
from typing import NamedTuple

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

LARGE = 100 * 2**20  # bytes, from which on the size is said


class Transitions(NamedTuple):
    """Rows of a replay.

    Attributes:
        observations: that actions answered to, (rows, observation) float32
        actions: (rows,) int64
        rewards: of n steps, discounted, (rows,) float32
        following: observations behind these steps, (rows, observation) float32
        discounts: of what follows, 0 where nothing does, (rows,) float32
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    following: Tensor
    discounts: Tensor


class Replay:
    """The latest transitions, the newest in place of the oldest.

    Args:
        size: transitions that it holds
        observation: values in an observation
        device: that it lies on

    Raises:
        ValueError: if it does not fit into half of the machine's memory
    """

    def __init__(self, size: int, observation: int, device: torch.device) -> None:
        check_size(size, observation)
        seen = torch.zeros(size, observation, device=device)
        numbers = torch.zeros(size, device=device)
        actions = torch.zeros(size, dtype=torch.int64, device=device)
        self.rows = Transitions(seen, actions, numbers, seen.clone(), numbers.clone())
        self.size, self.added = size, 0

    def __len__(self) -> int:
        return min(self.added, self.size)

    def add(self, found: Transitions) -> None:
        """Takes transitions, in the order of time."""
        count = len(found.actions)
        kept = Transitions(*(column[-self.size :] for column in found))
        first = self.added + count - len(kept.actions)
        places = torch.arange(first, self.added + count, device=kept.actions.device) % self.size
        for column, values in zip(self.rows, kept, strict=True):
            column[places] = values
        self.added += count

    def sample(self, count: int, generator: torch.Generator) -> Transitions:
        """Transitions drawn evenly, with replacement."""
        places = torch.randint(len(self), (count,), generator=generator)
        places = places.to(self.rows.actions.device)
        return Transitions(*(column[places] for column in self.rows))

    def state(self) -> dict[str, Tensor | int]:
        """All that it holds, on the CPU."""
        held = {n: column[: len(self)].cpu() for n, column in self.rows._asdict().items()}
        return {"added": self.added} | {n: column.clone() for n, column in held.items()}

    def restore(self, state: dict[str, Tensor | int]) -> None:
        """Goes on from what `state` has returned."""
        self.added = state["added"]
        for name, column in self.rows._asdict().items():
            column[: len(self)] = state[name].to(column.device)


def check_size(size: int, observation: int) -> None:
    """Says how large a replay is, in memory and in each checkpoint, before it is filled.

    Args:
        size: transitions
        observation: values in an observation

    Raises:
        ValueError: if it is more than half of the machine's memory
    """
    needed = size * (2 * 4 * observation + 16)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    said = f"--model.memory={size} transitions are {needed / 2**30:.1f} GiB"
    if 2 * needed > there:
        raise ValueError(f"{said}, more than half of this machine's {there / 2**30:.0f} GiB")
    if needed > LARGE:
        rank_zero_info(f"note: {said}, here and in each checkpoint")
