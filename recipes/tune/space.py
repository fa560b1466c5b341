"""What a search varies, as W&B Sweeps describe it and as Optuna draws from it."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Trial

Value = Any  # what YAML holds: a number, a string, a list ...


@dataclass(frozen=True)
class Space:
    """What a search varies, and what it looks at.

    Attributes:
        method: grid, random or bayes
        parameters: by command-line key, W&B's description, with its distribution named
        metric: log key, if the file names one
        goal: minimize or maximize, if the file says so
        early_terminate: W&B's description of when a trial is given up
        run_cap: number of trials, if the file says so
    """

    method: str
    parameters: dict[str, dict[str, Value]]
    metric: str | None
    goal: str | None
    early_terminate: dict[str, Value]
    run_cap: int | None

    def suggest(self, trial: "Trial") -> dict[str, Value]:
        """A value for each key.

        Args:
            trial: that Optuna draws for
        """
        return {key: draw(trial, key, known) for key, known in self.parameters.items()}

    def grid(self) -> dict[str, list[Value]]:
        """All values of each key that varies, as Optuna knows them.

        Raises:
            ValueError: if a key has no end of them
        """
        grid = {}
        for key, known in self.parameters.items():
            kind = known["distribution"]
            if kind == "categorical":
                grid[key] = [choice(value) for value in known["values"]]
            elif kind == "int_uniform":
                grid[key] = list(range(known["min"], known["max"] + 1))
            elif kind != "constant":
                raise ValueError(f"--sampler=grid: {key} is {kind}, a grid needs values: [...]")
        return grid

    def grid_size(self) -> int:
        """How many points the grid has."""
        return math.prod(len(values) for values in self.grid().values())

    def samples(self) -> Iterator[dict[str, Value]]:
        """Settings in which each value, or end of a range, occurs: what a parser has to accept."""
        every = {key: extremes(known) for key, known in self.parameters.items()}
        for number in range(max(map(len, every.values()))):
            yield {key: values[number % len(values)] for key, values in every.items()}


def extremes(known: dict[str, Value]) -> list[Value]:
    """The values of a parameter, or the ends of its range."""
    if "values" in known:
        return known["values"]
    return [known["value"]] if "value" in known else [known["min"], known["max"]]


def choice(value: Value) -> Value:
    """A value as one of Optuna's categories, which are plain: a list is its JSON."""
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def draw(trial: "Trial", key: str, known: dict[str, Value]) -> Value:
    """A value of one parameter."""
    match known["distribution"]:
        case "constant":
            return known["value"]
        case "categorical":
            return trial.suggest_categorical(key, [choice(value) for value in known["values"]])
        case "int_uniform":
            return trial.suggest_int(key, known["min"], known["max"])
        case "q_uniform":
            found = trial.suggest_float(key, known["min"], known["max"], step=known["q"])
            return quantized(found, known["q"])
        case kind:
            log = kind == "log_uniform_values"
            return trial.suggest_float(key, known["min"], known["max"], log=log)


def quantized(value: float, step: float) -> float:
    """The multiple of a step next to a value, as it is written: 0.3 and not 3 * 0.1."""
    return float(Decimal(str(step)) * round(value / step))


def flag(key: str, value: Value) -> str:
    """A setting as the command line takes it."""
    return f"--{key}={value if isinstance(value, str) else json.dumps(value)}"
