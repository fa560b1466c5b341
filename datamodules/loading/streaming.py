"""The loader of batches that workers read in passing, with a place to go on from."""

import weakref
from collections.abc import Iterator
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.loading.streams import Streams


class StreamLoader:
    """Iterates over a process's batches, in an order that is a pure function of (seed, epoch).

    The order depends on the streams' `layout`, too, but not on `num_workers`. Every process has the
    same number of batches, and in evaluation every row is seen exactly once.

    Lightning sets the epoch (`sampler.set_epoch`) and saves and restores the position in it
    (`state_dict`). The state is that of the batches that came out, however many a worker is ahead.

    Args:
        streams: makes the batches
        num_workers: processes that share the streams; 0: this one reads them all

    Raises:
        ValueError: if the workers cannot share the streams evenly
    """

    def __init__(self, streams: Streams, num_workers: int = 0) -> None:
        if num_workers and streams.count % num_workers:
            raise ValueError(
                f"--data.num_workers={num_workers} cannot share --data.streams={streams.count}: "
                "say a number that divides it"
            )
        self.streams, self.num_workers = streams, num_workers
        self.epoch = 0
        self.position = 0
        self._resume: dict[str, int | dict[str, int]] = {}
        # Lightning looks for `set_epoch` there.
        self.batch_sampler = SimpleNamespace(sampler=self)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def state_dict(self) -> dict[str, int | dict[str, int]]:
        place = {"epoch": self.epoch, "position": self.position}
        return {**place, "batches": len(self), "layout": self.streams.layout}

    def load_state_dict(self, state: dict[str, int | dict[str, int]]) -> None:
        self._resume = state
        # For a checkpoint that is saved before the first batch.
        self.epoch, self.position = state["epoch"], state["position"]

    def __len__(self) -> int:
        return self.streams.batches

    def _start(self) -> int:
        """The batch to begin with: the first, or the one after those of a checkpoint.

        Raises:
            ValueError: if the checkpoint's order is another, so that what is left is not known
        """
        resume, self._resume = self._resume, {}
        if resume.get("epoch") != self.epoch:
            return 0
        if "layout" not in resume:
            raise ValueError("--data.streaming=true, but the checkpoint's epoch began without")
        if resume["position"] == resume["batches"]:
            return len(self)
        for option, value in self.streams.layout.items():
            if (saved := resume["layout"][option]) != value:
                raise ValueError(
                    f"{option}={value}, but the checkpoint is from the middle of an epoch with "
                    f"{saved}: streaming goes on with the same"
                )
        return resume["position"]

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        # A generator, so nothing here runs before the first batch is asked for: Lightning calls
        # iter(), then restores the state, then sets the epoch.
        start = self._start()
        self.streams.epoch, self.streams.position = self.epoch, start
        batches = DataLoader(
            self.streams,
            batch_size=None,
            num_workers=self.num_workers,
            generator=torch.Generator(),  # not the one that dropout draws from
        )
        iterator = iter(batches)
        # Held from outside: where the garbage collector finds a cycle, it closes the queues to the
        # workers before torch tells them to stop, and waits 5 s for each of them.
        stop = weakref.finalize(self, getattr(iterator, "_shutdown_workers", int))
        try:
            for position in range(start, len(self)):
                batch = next(iterator)
                if isinstance(batch, Exception):
                    raise batch
                if position + 1 == len(self):
                    stop()  # now, as nobody asks for another batch
                self.position = position + 1
                yield tuple(batch)
        finally:
            stop()
