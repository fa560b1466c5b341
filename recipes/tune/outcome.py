"""What is said of trials."""

from typing import Any

from optuna.trial import FrozenTrial, TrialState

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
            print(f"trial {ended.number}: {outcome(ended, metric)}, {settings}", flush=True)


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


def table(metric: str, trials: list[FrozenTrial]) -> str:
    """The trials' values and settings in columns.

    Args:
        metric: log key
        trials: in their order
    """
    keys = list(trials[0].params)
    rows = [["trial", metric, *keys]]
    for trial in trials:
        settings = (short(trial.params.get(key, "")) for key in keys)
        rows.append([str(trial.number), f"{trial.value:.5g}", *settings])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
