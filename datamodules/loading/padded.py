"""Rows of unequal length: batches are as long as their longest, and of about equal lengths."""

from collections.abc import Sequence

import torch
from torch import Tensor

from datamodules.loading.loader import Loader, Table, keyed_generator
from datamodules.reading.vocabulary import PADDING

POOL = 50  # batches whose rows are sorted by length together


class PaddedTable(Table):
    """Rows of token numbers, kept one after the other.

    Args:
        rows: the tokens of each, (length,), none of them `PADDING`
        labels: (rows,), class numbers
    """

    def __init__(self, rows: Sequence[Tensor], labels: Tensor) -> None:
        self.tokens = torch.cat(list(rows))
        self.lengths = torch.tensor([len(row) for row in rows])
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Tokens (batch, longest), int64, `PADDING` behind shorter rows; labels (batch,)."""
        lengths = self.lengths[rows]
        place = torch.arange(int(lengths.max()), device=lengths.device)
        is_there = place < lengths[:, None]
        where = torch.where(is_there, self.starts[rows][:, None] + place, 0)
        return torch.where(is_there, self.tokens[where].long(), PADDING), self.labels[rows]


class BucketLoader(Loader):
    """A loader whose training batches have rows of about equal lengths.

    An epoch's order is cut into pools of some batches; each pool is sorted by length and cut into
    batches, whose order is random. All is a pure function of (seed, epoch), and the same for any
    number of processes with batches of the same total size.
    """

    def order(self) -> Tensor:
        order = super().order()
        if not self.shuffle:
            return order
        step = self.bounds[1]
        used, rest = order[: self.bounds[-1]], order[self.bounds[-1] :]
        lengths = self.table.lengths.cpu()
        pools = used.split(POOL * step)
        pools = [pool[lengths[pool].argsort(stable=True)] for pool in pools]
        batches = torch.cat(pools).view(-1, step)
        key = keyed_generator(self.seed, self.epoch, 1)
        return torch.cat([batches[torch.randperm(len(batches), generator=key)].flatten(), rest])
