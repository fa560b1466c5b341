"""The files that predictions become: a table, and arrays beside it."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import torch.distributed as dist
from torch import Tensor

from callbacks.write_predictions.columns import Cells
from callbacks.write_predictions.parts import ArrayFile, TablePart, join
from recipes.parts.files import replacing, writing

ORDER = ""  # the column of rows' numbers in the parts, which none of the table is called


class Output:
    """A table and arrays, which take the place of older ones when they are complete.

    Args:
        path: of the table
        columns: those of the table that are written, by the names that they get, beside those that
            say which row it is; all by their own where it is not given
        processes: that write
    """

    def __init__(self, path: Path, columns: dict[str, str] | None, processes: int) -> None:
        self.path, self.columns, self.processes = path, columns, processes
        self.part, self.arrays = TablePart(path), {}
        self.which: list[str] = []
        self.held = ExitStack()
        self.held.callback(self.part.remove)

    def add_rows(self, which: dict[str, Cells], columns: dict[str, Cells]) -> None:
        """Adds rows to the table.

        Args:
            which: the columns that say which rows they are, as far as is known
            columns: the others

        Raises:
            ValueError: if two columns have one name, or one that is wanted is not there
        """
        if not self.which:
            self.which = list(which)
            if twice := which.keys() & columns.keys():
                raise ValueError(f"--id={', '.join(twice)}: predictions have a column of this name")
            if unknown := (self.columns or {}).keys() - columns.keys():
                names = ", ".join(columns)
                raise ValueError(f"--columns: no {', '.join(sorted(unknown))} among {names}")
            new = Counter([*which, *(self.columns or {}).values()])
            if twice := [name for name, count in new.items() if count > 1]:
                raise ValueError(f"--columns: several columns are called {', '.join(twice)}")
        self.part.add(which | columns)

    def add_array(self, name: str, values: Tensor) -> None:
        """Adds examples, (n, ...), to the array of a name.

        Raises:
            ValueError: if several processes write, or the examples are of unequal shapes or types
        """
        path = self.path.with_name(f"{name}.npy")
        if self.processes > 1:
            raise ValueError(f"predict writes {path.name} on one process: --trainer.devices=1")
        with writing(path):
            if name not in self.arrays:
                self.arrays[name] = ArrayFile(self.held.enter_context(replacing(path)))
                self.held.callback(self.arrays[name].close)
            try:
                self.arrays[name].add(values)
            except ValueError as error:
                raise ValueError(f"predict writes {path.name}: {error}") from error

    def finish(self, is_first: bool) -> list[Path]:
        """Makes the table of all rows, when all are there, and returns the paths of all files.

        Args:
            is_first: whether this is the process that makes the table of all processes' rows
        """
        self.part.close()
        mine = (self.part.path, self.part.columns, self.part.empty)
        found = [mine] * self.processes
        if self.processes > 1:
            dist.all_gather_object(found, mine)
        found = [part for part in found if part[1]]
        if found and is_first:
            paths, (names, *_), empty = zip(*found, strict=True)
            dropped = set.intersection(*empty)
            shown = {name: new for name, new in self._shown(names).items() if name not in dropped}
            join(paths, self.path, shown, ORDER if self.processes > 1 else None)
        table = [self.path] if found else []
        return table + [self.path.with_name(f"{name}.npy") for name in self.arrays]

    def close(self) -> None:
        """Completes the arrays, and removes this process's part of a table that has been made."""
        self.held.close()

    def abandon(self) -> None:
        """Removes what is there of the new files."""
        error = ValueError("abandoned")
        self.held.__exit__(ValueError, error, None)

    def _shown(self, names: list[str]) -> dict[str, str]:
        """The columns of the table, by the names that they have in the parts."""
        which = {name: name for name in self.which if name != ORDER}
        others = {name: name for name in names if name not in self.which}
        return which | (others if self.columns is None else self.columns)
