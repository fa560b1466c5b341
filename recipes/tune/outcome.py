"""What is said of trials."""

from typing import Any

from optuna.trial import FrozenTrial, TrialState

from recipes.running.printable import printable
from recipes.tune.queue import Queue


def tell(queue: Queue, metric: str, told: set[int]) -> None:
    """Prints a line for each trial that has ended since the last time.

    Args:
        queue: the trials
        metric: log key
        told: numbers of those that have been told, which it adds to
    """
    for ended in queue.finished():
        if ended.number not in told:
            told.add(ended.number)
            settings = " ".join(f"{key}={short(value)}" for key, value in ended.params.items())
            said = f"trial {ended.number}: {outcome(ended, metric)}, {settings}"
            print(printable(said), flush=True)  # of a study that may be anybody's


def outcome(ended: FrozenTrial, metric: str) -> str:
    """How a trial has ended, in words."""
    if ended.state == TrialState.FAIL:
        return f"failed ({ended.user_attrs.get('reason', 'no reason is known')})"
    value = f"{metric} {short(ended.value)}"
    if ended.state == TrialState.PRUNED:
        return f"given up after {ended.last_step} validations at {value}"
    return value


def short(value: Any) -> str:  # noqa: ANN401 - a parameter's
    """A value with the digits that matter."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
