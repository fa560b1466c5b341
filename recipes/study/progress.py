"""What training has cost the members so far, and their losses since the latest row."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Progress:
    """Counts of a population's training; tensors are (members,), in float64.

    Attributes:
        evaluations: of the training loss; a line search has several in a step
        seconds: a member's share of the time that all take
        first: loss of the first batch
        loss_sum: sum of the losses since the latest row of the record
        batches: in the round
        batches_of_row: since the latest row

    Args:
        members: how many there are
    """

    def __init__(self, members: int) -> None:
        zeros = torch.zeros(members, dtype=torch.float64)
        self.evaluations, self.seconds = zeros.clone(), zeros.clone()
        self.first, self.loss_sum = zeros.clone(), zeros.clone()
        self.batches = self.batches_of_row = 0

    def add_batch(self, losses: Tensor) -> None:
        """Counts a batch, with the members' losses on it, (members,)."""
        if self.batches == 0:
            self.first = losses.cpu().double()
        self.loss_sum = self.loss_sum.to(losses.device) + losses
        self.evaluations += 1
        self.batches += 1
        self.batches_of_row += 1

    def end_row(self) -> dict[str, Tensor]:
        """The values of a new row of the record, (members,) each; the next one starts here."""
        mean = self.loss_sum.cpu() / max(1, self.batches_of_row)
        self.loss_sum, self.batches_of_row = torch.zeros_like(mean), 0
        return {
            "train/loss": mean,
            "evaluations": self.evaluations.clone(),
            "seconds": self.seconds.clone(),
        }

    def keep(self, positions: Sequence[int]) -> None:
        """Drops the members in all other positions."""
        for name in ("evaluations", "seconds", "first", "loss_sum"):
            setattr(self, name, getattr(self, name)[positions])

    def state(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint."""
        return dict(vars(self))

    def restore(self, state: Mapping[str, Any]) -> None:
        """Sets what `state` has saved."""
        for name in list(vars(self)):
            setattr(self, name, state[name])
