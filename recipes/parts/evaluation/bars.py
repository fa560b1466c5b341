"""A bar for each part of a comparison, below those of the run."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lightning.pytorch import Trainer
from rich.progress import Progress

# From the parts of a computation, and what they are called, to the parts one after the other.
Track = Callable[[Sequence[Any], str], Iterator[Any]]


def silent(parts: Sequence[Any], name: str) -> Iterator[Any]:
    """The parts, without a bar."""
    yield from parts


def below(trainer: Trainer) -> Track:
    """Shows what is iterated over as a further bar of the run's own, if that is one of Rich."""
    bars = getattr(trainer.progress_bar_callback, "progress", None)
    if not isinstance(bars, Progress):
        return silent

    def track(parts: Sequence[Any], name: str) -> Iterator[Any]:
        task = bars.add_task(f"[white]{name}", total=len(parts))
        try:
            for part in parts:
                yield part
                bars.advance(task)
                bars.refresh()  # Lightning's do not do so by themselves
        finally:
            bars.remove_task(task)

    return track
