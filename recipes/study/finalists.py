"""The chosen members of a study, evaluated one by one and as ensembles."""

from collections.abc import Mapping

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from recipes.regress.losses import Loss
from recipes.regress.prediction import mixture
from recipes.study.members import Networks
from recipes.study.metrics import distribution, ensembles, metrics, sums
from recipes.study.population import Population
from recipes.study.rounds import Finalist
from recipes.study.selection import Key


class Finalists:
    """Predictions and metrics of chosen members, over the batches of an evaluation.

    Args:
        population: of the chosen members, on their device
        noise: variance of each one's residuals, (members,), NaN where it is not known
        scale: mean and standard deviation of each one's target, (members, 2)
    """

    def __init__(self, population: Population, noise: Tensor, scale: Tensor) -> None:
        self.population, self.scale = population.eval(), scale
        self.noise = None if noise.isnan().any() else noise
        self.total: dict[str, Tensor] = {}
        self.batches: list[tuple[Tensor, Tensor | None, Tensor]] = []

    def update(self, inputs: Tensor, targets: Tensor) -> None:
        """Evaluates a batch, (members, batch, ...) each."""
        outputs = self.population(inputs)
        found = sums(self.population.loss, outputs, targets, self.noise)
        self.total = {name: self.total.get(name, 0) + value for name, value in found.items()}
        self.batches.append((*distribution(self.population.loss, outputs, self.noise), targets))

    def rows(self) -> list[dict[str, str | int | float]]:
        """Metrics of each member, then of each optimizer's and split's ensemble."""
        members = self.population.members
        found = metrics(self.total, self.scale[:, 1], likelihood=False)
        rows = [
            {"optimizer": m.trial.optimizer, "split": m.split, "seed": m.seed}
            | {name: float(value[i]) for name, value in found.items()}
            for i, m in enumerate(members)
        ]
        mean, variance, targets = (
            None if parts[0] is None else torch.cat(parts, 1)
            for parts in zip(*self.batches, strict=True)
        )
        return rows + ensembles(members, mean, variance, targets, self.scale)

    def columns(self, inputs: Tensor, targets: Tensor, split: int) -> dict[str, Tensor]:
        """The target and the prediction of each optimizer's ensemble, in the target's own unit.

        Args:
            inputs: (members, batch, ...)
            targets: (members, batch)
            split: that the rows are of; the members trained on it predict them

        Raises:
            ValueError: if the study was not of that split
        """
        groups: dict[str, list[int]] = {}
        for number, member in enumerate(self.population.members):
            if member.split == split:
                groups.setdefault(member.trial.optimizer, []).append(number)
        if not groups:
            splits = sorted({member.split for member in self.population.members})
            raise ValueError(f"--data.split={split}: the study is of {splits}")
        outputs = self.population(inputs)
        mean, variance = distribution(self.population.loss, outputs, self.noise)
        first = next(iter(groups.values()))[0]
        centre, unit = self.scale[first].to(mean.dtype)
        columns = {"target": targets[first] * unit + centre}
        for optimizer, ids in groups.items():
            if variance is None:
                columns[optimizer] = mean[ids].mean(0) * unit + centre
                continue
            point, spread = mixture(mean[ids], variance[ids])
            columns |= {
                optimizer: point * unit + centre,
                f"{optimizer}_std": spread.sqrt() * unit,
            }
        return columns


@torch.no_grad()
def training_metrics(
    finalists: Mapping[Key, Finalist],
    networks: Mapping[str, Networks],
    loss: Loss,
    data: LightningDataModule,
    device: torch.device,
) -> dict[Key, dict[str, float]]:
    """Metrics of each finalist on all rows that it was trained on, in the target's own unit.

    Args:
        finalists: by round and number in it
        networks: label to network
        loss: of the study
        data: has the splits
        device: to compute on
    """
    found = {}
    for key, (member, weights, _) in finalists.items():
        network, split = networks[member.trial.network].eval(), data.splits(member.split)
        rows = split.train.to(weights.dtype)
        vector, inputs, targets = (
            tensor.to(device).unsqueeze(0) for tensor in (weights, rows.inputs, rows.targets)
        )
        total = sums(loss, network(vector, inputs), targets)
        std = total["rows"].new_tensor([split.target_std])
        values = metrics(total, std, loss.needs_noise)
        found[key] = {name: value.item() for name, value in values.items()}
    return found
