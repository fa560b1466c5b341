"""Which units of a code depend on x, over all examples of an evaluation."""

import torch
from torch import Tensor
from torchmetrics import Metric

ACTIVE = 0.01  # variance of a unit's mean over examples, above which the unit is active
FEW = 0.1  # share of active units, below which the posterior has collapsed


def active_units(variances: Tensor) -> Tensor:
    """How many units of the code depend on x: Burda et al. 2016, section 5.2.

    Args:
        variances: of each unit's mean E_q[z | x] over examples, (latent,)
    """
    return (variances > ACTIVE).sum()


class ActiveUnits(Metric):
    """Counts the active units of an evaluation, of all processes together.

    Args:
        latent: units of a code
    """

    full_state_update = False

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.add_state("count", torch.zeros(()), "sum")
        self.add_state("sums", torch.zeros(latent), "sum")
        self.add_state("squares", torch.zeros(latent), "sum")

    def update(self, codes: Tensor) -> None:
        """Takes a batch's mean codes E_q[z | x], (batch, latent)."""
        self.count += len(codes)
        self.sums += codes.sum(0)
        self.squares += codes.square().sum(0)

    def compute(self) -> Tensor:
        mean = self.sums / self.count
        return active_units(self.squares / self.count - mean.square()).float()


def in_words(active: float, latent: int) -> str:
    """How many units are active; where they are few, the collapse by its name, and what helps."""
    line = f"{active:.0f} of {latent} units active"
    if active >= FEW * latent:
        return line
    return (
        f"{line}: posterior collapse, the decoder ignores the code: a smaller --model.beta, or "
        "HyperparameterSchedule of it, or a weaker decoder"
    )
