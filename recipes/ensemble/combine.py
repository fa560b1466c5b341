"""What runs predict together, how good that is, and which of them should count."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from datamodules.loading.missing import is_known
from recipes.regress.losses import gaussian_nll, pinball

Columns = dict[str, Tensor]  # what `predict_step` returns of all rows, by name
LEAST = torch.finfo(torch.float32).tiny  # probability, where a softmax has rounded it to zero
# By which runs are chosen unless the user says otherwise: the first that there is.
CRITERIA = ("nll", "pinball", "rmse")
HIGHER = ("accuracy",)  # is better


@dataclass(frozen=True)
class Predicted:
    """What a run predicts of some rows.

    Attributes:
        columns: by name; targets are `target`, of several `target_<name>`
        classes: their names, or numbers; none where the target is a number
        levels: of quantiles
    """

    columns: Columns
    classes: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()

    @property
    def targets(self) -> list[str]:
        """What follows the name of each target's columns: nothing where there is only one."""
        names = [name for name in self.columns if name.startswith("target")]
        return [name.removeprefix("target") for name in names]

    def is_scored(self) -> bool:
        """Whether any target is known."""
        return any(is_known(self.columns[f"target{each}"]).any() for each in self.targets)


def mean(values: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Weighted mean, in float64.

    Args:
        values: of each run, (rows, ...)
        weights: of each run, (runs,), not negative; they need not sum to 1
    """
    shares = (weights.double() / weights.double().sum()).tolist()
    return sum(share * value.double() for share, value in zip(shares, values, strict=True) if share)


def combined(runs: Sequence[Predicted], weights: Tensor) -> Predicted:
    """The predictions of a mixture of runs.

    Probabilities are averaged; of normal distributions mean and variance are the mixture's
    (Lakshminarayanan et al. 2017, section 2.4); quantiles are averaged level by level
    (Vincent 1912), as `recipes.regress` does with its own ensembles.

    Args:
        runs: what each predicts of the same rows
        weights: of each run, (runs,), as in `mean`
    """
    first = runs[0]
    found = dict(first.columns)
    for name in found:
        if name.startswith(("probability", "quantile", "prediction")):
            found[name] = mean([run.columns[name] for run in runs], weights)
    for each in first.targets:
        if (name := f"std{each}") in found:
            squares = [
                run.columns[name].double() ** 2 + run.columns[f"prediction{each}"].double() ** 2
                for run in runs
            ]
            variance = mean(squares, weights) - found[f"prediction{each}"] ** 2
            found[name] = variance.clamp_min(0).sqrt()
    if "probability" in found:
        found["prediction"] = found["probability"].argmax(1)
    return Predicted(found, first.classes, first.levels)


def scores(predicted: Predicted) -> dict[str, float]:
    """How good predictions are, by name, over the rows whose target is known.

    Of classes `accuracy` (0 to 1) and `nll` (nats a row). Of numbers `rmse` in the target's unit,
    and `nll` (nats a row, of a normal distribution over the target in its unit) or `pinball` (in
    that unit). Of several targets their means.

    Raises:
        ValueError: if no target is known
    """
    if not predicted.is_scored():
        raise ValueError("--data: no row has a target, by which runs could be compared")
    if "probability" in predicted.columns:
        return class_scores(predicted.columns["probability"], predicted.columns["target"])
    found = [number_scores(predicted, each) for each in predicted.targets]
    found = [each for each in found if each]
    return {name: math.fsum(each[name] for each in found) / len(found) for name in found[0]}


def class_scores(probabilities: Tensor, targets: Tensor) -> dict[str, float]:
    """Of probabilities (rows, classes) and class numbers (rows,)."""
    known = is_known(targets)
    probabilities, targets = probabilities[known].double(), targets[known].long()
    of_target = probabilities.gather(1, targets.unsqueeze(1)).clamp_min(LEAST)
    return {
        "accuracy": (probabilities.argmax(1) == targets).double().mean().item(),
        "nll": -of_target.log().mean().item(),
    }


def number_scores(predicted: Predicted, name: str) -> dict[str, float]:
    """Of one target; nothing if it is never known.

    Args:
        predicted: by a run, or several
        name: what follows the name of the target's columns
    """
    columns = predicted.columns
    targets = columns[f"target{name}"].double()
    known = is_known(targets)
    if not known.any():
        return {}
    targets, points = targets[known], columns[f"prediction{name}"][known].double()
    found = {"rmse": (points - targets).square().mean().sqrt().item()}
    if (quantiles := columns.get(f"quantile{name}")) is not None:
        levels = targets.new_tensor(predicted.levels)
        found["pinball"] = pinball(quantiles[known].double(), targets, levels).mean().item()
    if (std := columns.get(f"std{name}")) is not None:
        variance = std[known].double().square()
        found["nll"] = gaussian_nll(points, variance, targets).mean().item()
    return found


def criterion(found: dict[str, float], wanted: str | None) -> str:
    """The score by which runs are chosen.

    Args:
        found: the scores of a run
        wanted: what the user asks for

    Raises:
        ValueError: if there is no such score
    """
    if wanted is None:
        return next(name for name in CRITERIA if name in found)
    if wanted not in found:
        raise ValueError(f"--metric={wanted}: these runs have {', '.join(found)}")
    return wanted


def cost(found: dict[str, float], name: str) -> float:
    """A score, so that less is better; infinite where it is not a number."""
    value = -found[name] if name in HIGHER else found[name]
    return math.inf if math.isnan(value) else value


def greedy_selection(cost: Callable[[Tensor], float], runs: int, rounds: int) -> Tensor:
    """How often each run counts, (runs,): Caruana et al. 2004, sections 2 and 2.1.

    In each round the run joins, once more or for the first time, with which the ensemble is best;
    the ensemble is that of the best round. On what it is chosen by it is never worse than the best
    single run.

    Args:
        cost: of the ensemble in which each run counts so often, (runs,); less is better
        runs: how many there are to choose from
        rounds: how many join, 1 or more
    """
    counts, ones = torch.zeros(runs), torch.eye(runs)
    best, chosen = math.inf, ones[0]
    for _ in range(rounds):
        trials = [cost(counts + one) for one in ones]
        least = min(range(runs), key=trials.__getitem__)
        counts = counts + ones[least]
        if trials[least] < best:
            best, chosen = trials[least], counts
    return chosen
