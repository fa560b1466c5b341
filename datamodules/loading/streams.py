"""Rows of files that are read in passing as batches, from any place in an epoch."""

from collections.abc import Iterable, Iterator
from itertools import accumulate, groupby, pairwise

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from datamodules.loading.loader import keyed_generator, misfit
from datamodules.reading.features import Columns
from datamodules.reading.row_groups import Part, RowGroup, read

ROW = "row in the split"  # a column that is added


def cut(tables: Iterable[pa.Table], sizes: Iterable[int]) -> Iterator[pa.Table]:
    """The rows of consecutive tables as tables of the given sizes, 1 or more, without a copy."""
    tables, kept, rows = iter(tables), [], 0
    for size in sizes:
        while rows < size:
            kept.append(next(tables))
            rows += len(kept[-1])
        whole = pa.concat_tables(kept)
        yield whole.slice(0, size)
        kept, rows = [whole.slice(size)], rows - size


class Streams(IterableDataset):
    """A process's batches in an epoch, of which each worker makes its share.

    The epoch's rows are all row groups, one after the other; while shuffling, files come in a new
    order every epoch, and so do the row groups of each. These rows are cut into batches, of which
    each process takes an equal number, one after the other. It deals them to its streams, each of
    which is consecutive rows again and, while shuffling, is shuffled in blocks; its batches are
    taken from the streams in turn. So the number of a batch says where its rows are, and nothing
    else has to be known to go on from there.

    While shuffling, an incomplete last batch is left out; otherwise the rows are cut into
    near-equal batches.

    `datasets` itself gives each process whole files (`split_dataset_by_node`), and so one of them
    more batches than another, which then waits in vain; and what its shuffling buffer held is lost
    when a run is resumed.

    Args:
        groups: the row groups of all files
        columns: those that are read, and how they become tensors
        batch_size: rows per batch and process
        shuffle: a new order every epoch, for training
        block: consecutive rows of a stream that are shuffled together, and unpacked at a time
        count: of streams
        seed: of the order
        rank: number of this process
        world_size: number of processes

    Attributes:
        epoch: of which the batches are
        position: number of the first batch
        batches: that each process has in an epoch

    Raises:
        ValueError: if there are too few rows for one batch
    """

    def __init__(
        self,
        groups: list[RowGroup],
        columns: Columns,
        batch_size: int,
        *,
        shuffle: bool = False,
        block: int = 1000,
        count: int = 4,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.groups, self.columns = groups, columns
        self.shuffle, self.block, self.count, self.seed = shuffle, block, count, seed
        # The number of each group's first row in the split.
        starts = accumulate((group.rows for group in groups), initial=0)
        self.firsts = dict(zip(groups, starts, strict=False))
        self.epoch = self.position = 0
        rows, step = sum(group.rows for group in groups), batch_size * world_size
        self.batches = rows // step if shuffle else -(-rows // step)
        if not self.batches or rows // self.batches < world_size:
            raise misfit(batch_size, world_size, rows)
        self.rows = self.batches * step if shuffle else rows
        self.first, self.all_batches = rank * self.batches, world_size * self.batches
        # What the order depends on, besides seed and epoch.
        self.layout = {
            "processes (--trainer.devices)": world_size,
            "--data.batch_size": batch_size,
            "--data.block": block,
            "--data.streams": count,
            "rows in --data.path": rows,
        }

    def bound(self, batch: int) -> int:
        """The first row of a batch, counted over all processes."""
        return self.rows * batch // self.all_batches

    def order(self) -> list[RowGroup]:
        """The epoch's row groups, on every process the same."""
        if not self.shuffle:
            return self.groups
        generator = keyed_generator(self.seed, self.epoch)

        def permuted(items: list) -> list:
            return [items[place] for place in torch.randperm(len(items), generator=generator)]

        files = [list(groups) for _, groups in groupby(self.groups, key=lambda group: group.file)]
        return [group for groups in permuted(files) for group in permuted(groups)]

    def parts(self, start: int, stop: int) -> Iterator[Part]:
        """The rows `start` to `stop` of the epoch, as parts of row groups."""
        row = 0
        for group in self.order():
            first, last = max(start - row, 0), min(stop - row, group.rows)
            if first < last:
                yield Part(group, first, last)
            row += group.rows

    def read(self, start: int, stop: int) -> Iterator[pa.Table]:
        """The rows `start` to `stop` of the epoch, with their numbers in the split."""
        parts = self.parts(start, stop)
        for group, row, table in read(parts, self.columns.names, self.block):
            first = self.firsts[group] + row
            numbers = np.arange(first, first + len(table))
            yield self.columns.cast(table).append_column(ROW, [numbers])

    def shuffled(self, start: int, stop: int, begin: int) -> Iterator[pa.Table]:
        """The rows `start` to `stop` in shuffled blocks, without those in places before `begin`."""
        block = begin - (begin - start) % self.block
        firsts = range(block, stop, self.block)
        sizes = [min(self.block, stop - first) for first in firsts]
        for first, table in zip(firsts, cut(self.read(block, stop), sizes), strict=True):
            generator = keyed_generator(self.seed, self.epoch, first)
            order = torch.randperm(len(table), generator=generator)[max(begin - first, 0) :]
            yield table.take(order.numpy())

    def stream(self, number: int, skip: int) -> Iterator[tuple[Tensor, ...]]:
        """The batches of a stream, without the first `skip` of them."""
        counts = [len(range(stream, self.batches, self.count)) for stream in range(number + 1)]
        first, stop = self.first + sum(counts[:-1]), self.first + sum(counts)
        bounds = [self.bound(batch) for batch in range(first + skip, stop + 1)]
        sizes = [after - before for before, after in pairwise(bounds)]
        if self.shuffle:
            rows = self.shuffled(self.bound(first), bounds[-1], bounds[0])
        else:
            rows = self.read(bounds[0], bounds[-1])
        for table in cut(rows, sizes):
            yield self.columns.tensors(table, table.column(ROW).to_numpy())

    def __iter__(self) -> Iterator[tuple[Tensor, ...] | Exception]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        streams: dict[int, Iterator[tuple[Tensor, ...]]] = {}
        try:
            # torch takes a batch from each worker in turn.
            for batch in range(self.position + number, self.batches, workers):
                turn, stream = divmod(batch, self.count)
                if stream not in streams:
                    streams[stream] = self.stream(stream, turn)
                yield next(streams[stream])
        except (ValueError, OSError) as error:
            yield error  # torch would bury it in a traceback
