"""Batches of in-memory data, gathered whole: the loader that all datamodules share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import SimpleNamespace

import torch
from lightning.pytorch import Trainer
from torch import Tensor


def keyed_seed(*key: int) -> int:
    """A 64-bit seed that depends on every number of the key, and on their order."""
    seed = 0
    for part in key:
        # SplitMix64's finaliser (Steele et al. 2014): neighbouring keys give unrelated seeds.
        seed = (seed + part + 0x9E3779B97F4A7C15) % 2**64
        seed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        seed = ((seed ^ (seed >> 27)) * 0x94D049BB133111EB) % 2**64
        seed ^= seed >> 31
    return seed


def keyed_generator(*key: int) -> torch.Generator:
    """A random generator whose stream is a pure function of the key."""
    return torch.Generator().manual_seed(keyed_seed(*key))


def shuffled(rows: int, seed: int, epoch: int) -> Tensor:
    """The order of an epoch of training: a permutation of `rows` row numbers."""
    return torch.randperm(rows, generator=keyed_generator(seed, epoch))


def data_rank(trainer: Trainer | None) -> tuple[int, int]:
    """The number of this process among those that share out the batches, and their number.

    Processes that share out the layers (tensor parallelism) have the same batches and number.
    """
    shares = getattr(trainer and trainer.strategy, "distributed_sampler_kwargs", {})
    return shares.get("rank", 0), shares.get("num_replicas", 1)


class Table(ABC):
    """What the loader draws from: rows that are gathered by number, a whole batch at a time."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, ...]:
        """The rows' columns, (inputs, targets, ...), each with the batch as first dimension."""

    def tensors(self) -> dict[str, Tensor]:
        """The table's tensors, by the name of the attribute."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    @property
    def device(self) -> torch.device:
        """Where the table lies, and where the numbers of rows are wanted."""
        return next((value.device for value in self.tensors().values()), torch.device("cpu"))

    def to_device(self, device: torch.device) -> None:
        """Moves the table."""
        for name, value in self.tensors().items():
            setattr(self, name, value.to(device))


def place(table: Table, trainer: Trainer | None) -> None:
    """Moves a table to the trainer's GPU if it takes no more than a quarter of the free memory.

    Batches are then gathered there, and a step copies nothing from the host.
    """
    device = trainer.strategy.root_device if trainer else torch.device("cpu")
    size = sum(value.nbytes for value in table.tensors().values())
    if device.type == "cuda" and 4 * size <= torch.cuda.mem_get_info(device)[0]:
        table.to_device(device)


def misfit(batch_size: int, world_size: int, rows: int) -> ValueError:
    """The error of batches that the rows are too few for."""
    processes = f" on {world_size} processes" if world_size > 1 else ""
    most = rows // world_size
    way = f": give {most} or less" if 0 < most < batch_size else ""
    return ValueError(f"--data.batch_size={batch_size}{processes} does not fit {rows} rows{way}")


class Loader:
    """Iterates over batches of a table. Order is a pure function of (seed, epoch).

    A step's batches on all processes are together one slice of the epoch's order, so that two
    processes with batches of 64 see what one process with batches of 128 sees (and train the same
    network, unless batch-norm takes its statistics from each process's own batch). An incomplete
    last batch is left out while shuffling (`drop_last`); otherwise the rows are cut into near-equal
    batches, so that every row is seen exactly once and every process has the same number of
    batches.

    Lightning sets the epoch (`sampler.set_epoch`) and saves and restores the position in it
    (`state_dict`).

    Args:
        table: where rows are gathered from
        batch_size: rows per batch and process
        shuffle: a new order every epoch, for training; otherwise the stored order
        seed: of the order
        period: epochs after which the orders start anew, never if not given
        drop_last: leave an incomplete last batch out; by default as `shuffle`. A table that has an
            order of its own is trained on with `drop_last` and without `shuffle`
        rank: number of this process
        world_size: number of processes

    Raises:
        ValueError: if there are too few rows for one batch
    """

    def __init__(
        self,
        table: Table,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        period: int | None = None,
        drop_last: bool | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.table = table
        self.shuffle, self.seed, self.period = shuffle, seed, period
        self.rank, self.world_size = rank, world_size
        rows, step = len(table), batch_size * world_size
        drop_last = shuffle if drop_last is None else drop_last
        self.batches = rows // step if drop_last else -(-rows // step)
        if not self.batches or rows // self.batches < world_size:
            raise misfit(batch_size, world_size, rows)
        used = self.batches * step if drop_last else rows
        self.bounds = [used * batch // self.batches for batch in range(self.batches + 1)]
        self.epoch = 0
        self.position = 0
        self._resume: dict[str, int] = {}
        # Lightning looks for `set_epoch` there.
        self.batch_sampler = SimpleNamespace(sampler=self)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._resume = state
        # For a checkpoint that is saved before the first batch.
        self.epoch, self.position = state["epoch"], state["position"]

    def __len__(self) -> int:
        return self.batches

    @property
    def left_out(self) -> int:
        """Rows that are in no batch of an epoch: while shuffling, others in each."""
        return len(self.table) - self.bounds[-1]

    def order(self) -> Tensor:
        """The row numbers in this epoch's order, on every process the same."""
        if not self.shuffle:
            return torch.arange(len(self.table))
        epoch = self.epoch % self.period if self.period else self.epoch
        return shuffled(len(self.table), self.seed, epoch)

    def rows(self, batch: int) -> Tensor:
        """Where a batch's rows, on this process, are in the epoch's order, ascending."""
        return torch.arange(*self.bounds[batch : batch + 2])[self.rank :: self.world_size]

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        # A generator, so nothing here runs before the first batch is asked for: Lightning calls
        # iter(), then restores the state, then sets the epoch.
        resume, self._resume = self._resume, {}
        start = resume["position"] if resume.get("epoch") == self.epoch else 0
        order = self.order().to(self.table.device)
        for batch in range(start, self.batches):
            self.position = batch + 1
            step = order[self.bounds[batch] : self.bounds[batch + 1]]
            yield self.table.gather(step[self.rank :: self.world_size], self.epoch)
