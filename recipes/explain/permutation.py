"""Permutation importance of a table's columns, by scikit-learn."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datamodules.loading.missing import is_known
from datamodules.tabular import TabularData
from recipes.explain.kinds import Wanted, columns
from recipes.export.deployed import Deployed

REPEATS = 20


@dataclass(frozen=True)
class Importance:
    """How much worse predictions are when a column's values are of other rows.

    Attributes:
        columns: names
        losses: (columns, repeats), in `unit`
        score: of the predictions as they are: RMSE, or accuracy
        measure: rmse or accuracy
        target: whose
    """

    columns: list[str]
    losses: np.ndarray
    score: float
    measure: str
    target: str


class Shuffled:
    """An estimator of scikit-learn whose inputs say of which row each column is taken.

    A column may be several inputs of the network, which have to be permuted together.

    Args:
        deployed: that predicts
        inputs: (rows, inputs)
        owner: number of the column of each input
        column: of what `predict_step` returns: probabilities, or numbers
    """

    def __init__(self, deployed: Deployed, inputs: Tensor, owner: Tensor, column: str) -> None:
        self.deployed, self.inputs, self.owner, self.column = deployed, inputs, owner, column

    def fit(self, *_: object) -> "Shuffled":
        """Nothing: it is trained."""
        return self

    @torch.no_grad()
    def predict(self, sources: np.ndarray) -> np.ndarray:
        """Class numbers, or numbers, (rows,), of rows (rows, columns) of row numbers."""
        rows = torch.from_numpy(sources.astype(np.int64))[:, self.owner]
        found = self.deployed.predicted(self.inputs.gather(0, rows))[self.column]
        return (found.argmax(1) if found.ndim > 1 else found).numpy()


def importance_of(
    deployed: Deployed,
    wanted: Wanted,
    data: TabularData,
    inputs: Tensor,
    outputs: dict[str, Tensor],
    seed: int,
) -> Importance:
    """Breiman 2001, section 10, on the rows whose target is known.

    Args:
        deployed: that predicts
        wanted: which target
        data: of the run
        inputs: (rows, inputs), as the network takes them
        outputs: what `predict_step` returns of them, with the targets in their own unit
        seed: of the permutations

    Raises:
        ValueError: if no target is known
    """
    from sklearn.inspection import permutation_importance
    from sklearn.metrics import accuracy_score, root_mean_squared_error

    explained = wanted.of(inputs[:1])[0]
    is_class = explained.place is not None
    targets = outputs[
        explained.column.replace("prediction", "target") if not is_class else "target"
    ]
    known = is_known(targets)
    if not known.any():
        raise ValueError("--method=permutation: no row has a target, and it measures errors")
    inputs, targets = inputs[known], targets[known]
    names, owner = columns(data)
    model = Shuffled(deployed, inputs, owner, explained.column)
    rows = np.arange(len(inputs)).repeat(len(names)).reshape(len(inputs), -1)

    def score(model: Shuffled, sources: np.ndarray, y: np.ndarray) -> float:
        found = model.predict(sources)
        return accuracy_score(y, found) if is_class else -root_mean_squared_error(y, found)

    found = permutation_importance(
        model, rows, targets.numpy(), scoring=score, n_repeats=REPEATS, random_state=seed
    )
    target = getattr(data, "target_name", None) or explained.name if is_class else explained.name
    measure, sign = ("accuracy", 1) if is_class else ("rmse", -1)
    whole = sign * score(model, rows, targets.numpy())
    return Importance(names, found.importances, whole, measure, target)
