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
        # Of a run that goes on, until its first row: its step, and how many rows the step before
        # had when it was saved.
        self.rewinds_to: int | None = None
        self.rewinds_at: int | None = None
        self.latest: tuple[int | None, int] = (None, 0)  # a step, and its rows so far

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
        self.latest = (step, self.latest[1] + 1 if self.latest[0] == step else 1)

    @rank_zero_only
    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        """Nothing: they are in config.yaml."""

    def _rewind(self) -> None:
        if self.rewinds_to is not None:
            self.latest = rewind(self.path, self.rewinds_to, self.rewinds_at)
            self.rewinds_to = None

    def rows_of(self, step: int) -> int:
        """How many rows a step has so far, which is the latest, or has none."""
        self._rewind()
        return self.latest[1] if self.latest[0] == step else 0


def rewind(path: Path, step: int, count: int | None = None) -> tuple[int, int]:
    """Drops the rows of the steps that a run resumed at `step` will train again.

    Validation after a batch is a further row of its step: of a checkpoint that was saved between
    the two, `count` says how many rows there were of the step before `step`.

    If there are any, or damaged lines, the file as it was is kept beside it, with the time in its
    name. A damaged line is named, unless it is the last, which a kill has cut off.

    Returns:
        the step before `step`, and how many rows of it are kept
    """
    latest = 0
    if not path.is_file():
        return step - 1, latest
    lines, kept = path.read_bytes().splitlines(), []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            is_past = row["step"] is None or row["step"] < step
            if row["step"] == step - 1:
                is_past = count is None or latest < count
                latest += is_past
        except (ValueError, TypeError, KeyError, RecursionError):
            if number < len(lines):
                rank_zero_warn(f"{path}, line {number} is damaged: left out, and kept in a .bak")
            continue
        if is_past:
            kept.append(line.decode() + "\n")
    if len(kept) < len(lines):
        keep(path)
        replace_file(path, "".join(kept))
    return step - 1, latest
