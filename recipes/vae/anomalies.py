"""How well the loss tells classes that training has never seen from the others."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_auroc
from torchmetrics.utilities import dim_zero_cat

SCORES = ("loss", "reconstruction")  # of an example, nats: larger for an anomaly


class Anomalies(Metric):
    """Areas under the ROC curve of an evaluation, over all processes together.

    Args:
        classes: those that are anomalies

    Attributes:
        trained: classes that training sees; all others, if it is not known
    """

    full_state_update = False

    def __init__(self, classes: list[int]) -> None:
        super().__init__()
        self.classes = classes
        self.trained: list[int] | None = None
        for name in ("is_anomaly", *SCORES):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def among(self, targets: Tensor) -> Tensor:
        """Which examples are anomalies, (batch,) bool, by their classes (batch,)."""
        return torch.isin(targets, torch.tensor(self.classes, device=targets.device))

    def compared(self, targets: Tensor) -> Tensor:
        """Which examples are anomalies, or of a class that training sees, (batch,) bool.

        A class that is neither would be as strange as an anomaly, and count as none.
        """
        if self.trained is None:
            return torch.ones_like(targets, dtype=torch.bool)
        both = [*self.classes, *self.trained]
        return torch.isin(targets, torch.tensor(both, device=targets.device))

    def update(self, is_anomaly: Tensor, **scores: Tensor) -> None:
        """Takes a batch.

        Args:
            is_anomaly: (batch,) bool
            scores: each of `SCORES`, nats, (batch,)
        """
        self.is_anomaly.append(is_anomaly.long())
        for name, values in scores.items():
            getattr(self, name).append(values)

    def compute(self) -> dict[str, Tensor]:
        """AUROC of each score, 0 to 1, 0.5 by chance: P(score of an anomaly > of another one).

        Empty if there are only anomalies, or none.
        """
        is_anomaly = dim_zero_cat(self.is_anomaly)
        if not is_anomaly.any() or is_anomaly.all():
            return {}
        return {
            f"auroc_{name}": binary_auroc(ranks(dim_zero_cat(getattr(self, name))), is_anomaly)
            for name in SCORES
        }


def ranks(scores: Tensor) -> Tensor:
    """Scores as numbers from 0 to 1 in the same order, ties included.

    torchmetrics takes values beyond 0 and 1 for logits, whose sigmoid would make large ones equal.
    """
    _, place = scores.unique(return_inverse=True)
    return place.double() / max(1, int(place.max()))
