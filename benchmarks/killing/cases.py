"""Which runs are killed, how and when."""

import random
from dataclasses import dataclass
from typing import Literal

from killing.points import MID_VALIDATION, POINTS
from killing.setups import ALONE, AT_ONCE, BIG, READ, RECIPES, Setup

MOMENTS, SAVES = 150, 30
SIGNALS, TO = ("SIGTERM", "SIGINT", "SIGKILL"), ("every process", "the first", "the second")
Kind = Literal["not killed", "random moment", "during a save", "fixed point", "one process", "two"]


@dataclass(frozen=True)
class Case:
    """A run that is killed and resumed.

    Attributes:
        kind: row of the table
        setup: of the run
        number: of the case among those of its kind, from which its moment is drawn
        point: in training, of a fixed point
        signal: that is sent
        to: which process it is sent to
    """

    kind: Kind
    setup: Setup
    number: int = 0
    point: str = ""
    signal: str = "SIGKILL"
    to: str = "every process"

    def __str__(self) -> str:
        parts = (self.kind, self.setup, self.point, self.signal, self.to, self.number)
        return ", ".join(str(part) for part in parts if part != "")

    def random(self, attempt: int) -> random.Random:
        """Always the same numbers in an attempt to kill it."""
        return random.Random(f"{self}, {attempt}")


def two(pairs: list[Setup]) -> list[Case]:
    """Runs on two processes, the slowest: each signal to each of the processes, once.

    Args:
        pairs: the runs, of which each has one signal or two
    """
    ways = [(sent, to) for sent in SIGNALS for to in TO]
    chosen = [(pairs[i % len(pairs)], *way) for i, way in enumerate(ways)]
    return [Case("two", setup, signal=sent, to=to) for setup, sent, to in chosen]


def cases() -> list[Case]:
    """All of them; what is cut off has some of each kind."""
    alone = [Setup(recipe) for recipe in RECIPES]
    read = [Setup(recipe, workers=2) for recipe in READ]
    every = [*alone, *(Setup(recipe, "more") for recipe in RECIPES), *read]
    pairs = [Setup(recipe, processes=2) for recipe in RECIPES if recipe not in ALONE]
    plain = [*alone, *read]
    found = [Case("not killed", setup) for setup in (*plain, *pairs)]
    found += [Case("random moment", every[i % len(every)], i) for i in range(MOMENTS)]
    big = [Setup(recipe, "big") for recipe in BIG]
    found += [Case("during a save", big[i % len(big)], i) for i in range(SAVES)]
    found += [
        Case("fixed point", setup, point=point)
        for point in POINTS
        for setup in plain
        if not (point == MID_VALIDATION and setup.recipe in AT_ONCE)
    ]
    for number, sent in enumerate(("SIGTERM", "SIGINT")):
        found += [Case("one process", setup, number, signal=sent) for setup in alone]
    found += two(pairs)
    order = random.Random(0)
    order.shuffle(found)
    return found
