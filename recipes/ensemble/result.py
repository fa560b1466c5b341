"""An ensemble of runs: who counts how much, how good it is beside the single runs, its files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from recipes.ensemble.combine import (
    Predicted,
    combined,
    cost,
    criterion,
    greedy_selection,
    scores,
)
from recipes.ensemble.members import Instead, ask, check_same_division, check_same_rows, naming
from recipes.ensemble.soup import Ingredients, Kitchen, Served, Soup
from recipes.folds.result import markdown
from recipes.parts.files import replace_file, replacing
from recipes.running.trained import Trained


@dataclass
class Ensemble:
    """What was chosen on validation.

    Attributes:
        runs: that it is made of
        flags: of their `validate` and `predict`
        metric: by which was chosen
        weights: how much each run counts, (runs,), by method
        validation: what is predicted of the validation data, by run and method
        soups: by method
        no_soup: why there are none; empty if there are
    """

    runs: Sequence[Trained]
    flags: Sequence[str]
    metric: str
    weights: dict[str, Tensor]
    validation: dict[str, Predicted]
    soups: dict[str, Soup] = field(default_factory=dict)
    no_soup: str = ""

    def check_method(self, method: str) -> None:
        """Raises ValueError if there is no such soup."""
        if method not in self.validation:
            raise ValueError(f"--method={method}: {self.no_soup}")

    def predict(self) -> dict[str, Predicted]:
        """What is predicted of test rows or of `--data.predict`, by run and method.

        Raises:
            ValueError: if the runs do not predict the same rows
        """
        found = [ask(run, "predict", self.flags) for run in self.runs]
        check_same_rows(self.runs, found)
        averaged = {name: combined(found, weights) for name, weights in self.weights.items()}
        served = {
            name: ask(self.runs[0], "predict", self.flags, Served(soup))
            for name, soup in self.soups.items()
        }
        return by_run(self.runs, found) | averaged | served

    def members(self, method: str) -> str:
        """Who is in it, as in "3a + b"; nothing of a single run."""
        names = [run.folder.name for run in self.runs]
        if method in self.soups:
            return " + ".join(names[number] for number in sorted(self.soups[method].members))
        counts = self.weights.get(method, torch.zeros(0)).int().tolist()
        found = zip(counts, names, strict=False)
        return " + ".join(
            f"{count} {name}" if count > 1 else name for count, name in found if count
        )

    def table(self, predicted: Mapping[str, Predicted]) -> str:
        """All scores, those of validation and, where targets are known, of test.

        Args:
            predicted: by run and method
        """
        scored = scored_by_split(self.validation, predicted)
        header = [f"{split}/{name}" for split, found in scored.items() for name in first(found)]
        rows = [
            [
                *(method, self.members(method)),
                *(f"{value:.4g}" for found in scored.values() for value in found[method].values()),
            ]
            for method in self.validation
        ]
        return markdown(("", "members", *header), rows)

    def write(self, folder: Path, method: str, predicted: Mapping[str, Predicted]) -> list[Path]:
        """Writes ensemble.json, predictions.csv and, where there is one, soup.safetensors.

        Args:
            folder: made if it is not there
            method: that the predictions are of
            predicted: by run and method

        Returns:
            the files
        """
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / "ensemble.json", folder / "predictions.csv"]
        replace_file(paths[0], json.dumps(self._facts(method, predicted), indent=1) + "\n")
        with naming(self.runs[0]):
            flags = [*self.flags, f"--output={paths[1]}"]
            self.runs[0].ask("predict", [Instead(predicted[method].columns)], flags)
        if self.soups:
            paths.append(folder / "soup.safetensors")
            with replacing(paths[-1]) as partial:
                save_file(self.soups["greedy_soup"].state, partial)
        return paths

    def _facts(self, method: str, predicted: Mapping[str, Predicted]) -> dict[str, object]:
        return {
            "checkpoints": [str(run.checkpoint) for run in self.runs],
            "metric": self.metric,
            "method": method,
            "weights": {name: weights.tolist() for name, weights in self.weights.items()},
            "soups": {name: sorted(soup.members) for name, soup in self.soups.items()},
            "no_soup": self.no_soup,
            **scored_by_split(self.validation, predicted),
        }


Scores = dict[str, dict[str, float]]  # by run and method, by metric


def scored_by_split(
    validation: Mapping[str, Predicted], predicted: Mapping[str, Predicted]
) -> dict[str, Scores]:
    """The scores of validation and, where any target is known, of test."""
    splits = {"val": validation, "test": predicted}
    return {
        split: {name: scores(each) for name, each in found.items()}
        for split, found in splits.items()
        if first(found).is_scored()
    }


def first(found: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever the values are
    """The first of some values."""
    return next(iter(found.values()))


def by_run(runs: Sequence[Trained], found: Sequence[Predicted]) -> dict[str, Predicted]:
    """What runs predict, by the run's folder."""
    return dict(zip((str(run.folder) for run in runs), found, strict=True))


def choose(
    runs: Sequence[Trained], flags: Sequence[str], metric: str | None, rounds: int
) -> Ensemble:
    """Chooses who is in an ensemble and in a soup, on validation.

    Args:
        runs: two or more
        flags: of their `validate` and `predict`
        metric: by which is chosen; None: see `criterion`
        rounds: of the greedy selection

    Raises:
        ValueError: if the runs cannot be compared row by row, or have no such metric
    """
    check_same_division(runs)
    looks = [Ingredients() for _ in runs]
    found = [ask(run, "validate", flags, look) for run, look in zip(runs, looks, strict=True)]
    check_same_rows(runs, found)
    by = criterion(scores(found[0]), metric)

    def cost_of(predicted: Predicted) -> float:
        return cost(scores(predicted), by)

    counts = greedy_selection(lambda w: cost_of(combined(found, w)), len(runs), rounds)
    weights = {"average": torch.ones(len(runs)), "selected": counts}
    averaged = {name: combined(found, each) for name, each in weights.items()}
    made = Ensemble(runs, flags, by, weights, by_run(runs, found) | averaged)
    made.no_soup = difference(runs, looks)
    if not made.no_soup:
        order = sorted(range(len(runs)), key=lambda number: cost_of(found[number]))
        kitchen = Kitchen([look.found.state for look in looks], cost_of, order)
        ask(runs[0], "validate", flags, kitchen)
        made.soups = kitchen.soups
        made.validation |= {name: soup.predicted for name, soup in made.soups.items()}
    return made


def difference(runs: Sequence[Trained], looks: Sequence[Ingredients]) -> str:
    """Why the weights of runs cannot be averaged; empty if they can."""
    for run, look in zip(runs, looks, strict=True):
        if look.found is None:
            return f"{run.folder} has no single network that predicts"
        if said := looks[0].found.difference(look.found):
            return f"{run.folder} has another network than {runs[0].folder}: {said}"
    return ""
