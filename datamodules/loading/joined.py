"""Tables of numbers for the shared loader: one, and several as one."""

import torch
from torch import Tensor

from datamodules.loading.loader import Table, shuffled


class Rows(Table):
    """Inputs and targets.

    Args:
        inputs: (rows, features), floats
        targets: (rows,) or (rows, targets), floats; or class numbers, (rows,), int64
    """

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, dtype: torch.dtype) -> "Rows":
        """The same rows in another type of floats."""
        targets = self.targets.to(dtype) if self.targets.is_floating_point() else self.targets
        return Rows(self.inputs.to(dtype), targets)

    def __getitem__(self, rows: Tensor) -> "Rows":
        """Some of the rows."""
        return Rows(self.inputs[rows], self.targets[rows])

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Inputs (batch, features) and targets (batch,) or (batch, targets)."""
        return self.inputs.index_select(0, rows), self.targets.index_select(0, rows)


class NumberedRows(Rows):
    """Rows whose batches have their numbers in the file, too.

    Args:
        rows: the inputs and targets
        numbers: of the rows, (rows,), int64
    """

    def __init__(self, rows: Rows, numbers: Tensor) -> None:
        super().__init__(rows.inputs, rows.targets)
        self.numbers = numbers

    def gather(self, rows: Tensor, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        return *super().gather(rows, epoch), self.numbers.index_select(0, rows)


class JoinedRows(Table):
    """Several tables of one length as one, each read in an order of its own: a batch of streams.

    Stream i is what `Loader(tables[i], shuffle=True, seed=seeds[i], period=period)` gives, epoch by
    epoch. The loader that drives this table says which positions of the orders a batch holds; it
    must not shuffle them again: `Loader(table, batch_size, drop_last=True)`.

    Args:
        tables: one for each stream, of equal length; the same one may be given several times
        seeds: of each stream's order; not given, all are read as they are stored
        period: epochs after which the orders start anew, never if not given

    Raises:
        ValueError: if there are no tables, or if their lengths or widths differ
    """

    def __init__(
        self, tables: list[Rows], seeds: list[int] | None = None, period: int | None = None
    ) -> None:
        lengths = sorted({len(table) for table in tables})
        if len(lengths) != 1:
            raise ValueError(f"joined tables must have one length, not {lengths}")
        if len(widths := sorted({table.inputs.shape[1] for table in tables})) != 1:
            raise ValueError(
                f"--data: the splits have {widths[0]} to {widths[-1]} inputs: not every category "
                "is among the training rows of each"
            )
        distinct = list({id(table): table for table in tables}.values())
        self.inputs = torch.cat([table.inputs for table in distinct])
        self.targets = torch.cat([table.targets for table in distinct])
        self.rows, self.seeds, self.period = lengths[0], seeds and list(seeds), period
        place = {id(table): number for number, table in enumerate(distinct)}
        pairs = [
            (place[id(table)], seed)
            for table, seed in zip(tables, seeds or [0] * len(tables), strict=True)
        ]
        self._pairs = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
        self._stream = torch.tensor([self._pairs[pair] for pair in pairs])
        self._drawn: tuple[int, Tensor] = (-1, torch.empty(0))

    def __len__(self) -> int:
        return self.rows

    def orders(self, epoch: int) -> Tensor:
        """Where each position of each distinct stream is, (distinct streams, rows), in an epoch."""
        epoch = 0 if self.seeds is None else epoch % self.period if self.period else epoch
        if self._drawn[0] != epoch:
            if self.seeds is None:
                order = {0: torch.arange(self.rows)}
            else:
                order = {seed: shuffled(self.rows, seed, epoch) for seed in set(self.seeds)}
            tables = torch.tensor([table for table, _ in self._pairs])
            drawn = torch.stack([order[seed] for _, seed in self._pairs])
            self._drawn = (epoch, (drawn + self.rows * tables.unsqueeze(1)).to(self.device))
        return self._drawn[1].to(self.device)

    def gather(self, positions: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Inputs (streams, batch, features) and targets (streams, batch)."""
        rows = self.orders(epoch).index_select(1, positions).index_select(0, self._stream)
        inputs = self.inputs.index_select(0, rows.flatten()).unflatten(0, rows.shape)
        return inputs, self.targets.index_select(0, rows.flatten()).unflatten(0, rows.shape)
