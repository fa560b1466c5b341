"""A run's metrics as a file of JSON lines."""

import json
from collections.abc import Mapping
from pathlib import Path

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from recipes.parts.files import append_line, keep, replace_file


class MetricsFile(Logger):
    """Appends every logged row to a file of JSON lines: {"step": 9, "val/loss": 0.2, "epoch": 0}.

    Lightning's CSVLogger deletes the rows that it finds in a folder that a run resumes in, and
    rewrites the whole file when a new key appears. This one only appends, and loses nothing when
    the process is killed.

    Args:
        path: of the file; its folder is the run's
        checkpoint: what is evaluated; its rows then have that in place of a step, which Lightning
            counts from 0 again
    """

    def __init__(self, path: str, checkpoint: str | None = None) -> None:
        super().__init__()
        self.path, self.checkpoint = Path(path), checkpoint
        # Of a run that goes on, until its first row: its step, and its rows when it was saved.
        self.rewinds_to: int | None = None
        self.rewinds_at: int | None = None
        self._count: int | None = None  # of rows, when it is known

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._rewind()
        row = {"step": step, **metrics}
        if self.checkpoint:
            row = {"checkpoint": self.checkpoint, **metrics}
            row.pop("epoch", None)
        append_line(self.path, json.dumps(row))
        self._count = None if self._count is None else self._count + 1

    @rank_zero_only
    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        """Nothing: they are in config.yaml."""

    def _rewind(self) -> None:
        if self.rewinds_to is not None:
            rewind(self.path, self.rewinds_to, self.rewinds_at)
            self.rewinds_to = None

    def count(self) -> int:
        """How many rows there are so far."""
        self._rewind()
        if self._count is None:
            self._count = len(self.path.read_bytes().splitlines()) if self.path.exists() else 0
        return self._count


def rewind(path: Path, step: int, count: int | None = None) -> None:
    """Drops the rows of the steps that a run resumed at `step` will train again.

    Of the step before it there may be rows that come again, too, as those of a validation that
    followed: `count` says how many rows there were when the run was saved.

    If there are any, or damaged lines, the file as it was is kept beside it, with the time in its
    name. A damaged line is named, unless it is the last, which a kill has cut off.
    """
    if not path.is_file():
        return
    lines, kept = path.read_bytes().splitlines(), []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            was_there = count is None or len(kept) < count
            is_past = row["step"] is None or row["step"] < (step if was_there else step - 1)
        except (ValueError, TypeError, KeyError, RecursionError):
            if number < len(lines):
                rank_zero_warn(f"{path}, line {number} is damaged: left out, and kept in a .bak")
            continue
        if is_past:
            kept.append(line.decode() + "\n")
    if len(kept) < len(lines):
        keep(path)
        replace_file(path, "".join(kept))
