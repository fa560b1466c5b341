"""What callbacks take of a step, by Lightning's profiler."""

import time
from collections import Counter
from typing import ClassVar

from lightning.pytorch.profilers import Profiler

from recipes.running.idle_hooks import OFTEN

START = "[Callback]"


class Costs(Profiler):
    """Seconds of a core in callbacks' hooks of a batch, and calls, by the callback's name."""

    seconds: ClassVar[Counter[str]] = Counter()
    calls: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.begun: dict[str, float] = {}

    def start(self, action_name: str) -> None:
        if not action_name.startswith(START):
            return
        self.seconds[named(action_name)] += 0.0  # also of one that has nothing to do in a batch
        if any(part in action_name for part in OFTEN):
            self.begun[action_name] = time.thread_time()

    def stop(self, action_name: str) -> None:
        if (begun := self.begun.pop(action_name, None)) is not None:
            self.seconds[named(action_name)] += time.thread_time() - begun
            self.calls[named(action_name)] += 1


def named(action: str) -> str:
    """The callback's class, of an action such as `[Callback]LRDecay{'warmup': 4}.on_fit_start`."""
    return action.removeprefix(START).rpartition(".")[0].partition("{")[0]


def empty() -> float:
    """Seconds that Costs counts for a hook that does nothing."""
    costs, name, before = Costs(), f"{START}empty.on_train_batch_start", Costs.seconds["empty"]
    for _ in range(10_000):
        costs.start(name)
        costs.stop(name)
    found = (Costs.seconds.pop("empty") - before) / 10_000
    del Costs.calls["empty"]
    return found
