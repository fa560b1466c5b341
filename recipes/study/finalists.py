"""The chosen members of a study, evaluated one by one and as ensembles."""

from collections.abc import Mapping

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from recipes.regress.losses import Loss
from recipes.regress.prediction import mixture
from recipes.study.members import Networks
from recipes.study.metrics import Total, distribution, ensembles, metrics, sums
from recipes.study.population import Population
from recipes.study.rounds import Finalist
from recipes.study.selection import Key


class Finalists:
    """Predictions and metrics of chosen members, over the batches of an evaluation.

    Args:
        population: of the chosen members
        noise: variance of each one's residuals, (members,), NaN where it is not known
        scale: mean and standard deviation of the target in each stream, (streams, 2)
        device: to evaluate on
        dtype: of the weights
    """

    def __init__(
        self,
        population: Population,
        noise: Tensor,
        scale: Tensor,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.population = population.to(device, dtype).eval()
        self.scale = scale.to(device)[population.stream]  # of each member, (members, 2)
        self.noise = None if noise.isnan().any() else noise.to(device)
        self.total = Total()
        self.batches: list[tuple[Tensor, Tensor | None, Tensor]] = []

    def update(self, batch: tuple[Tensor, Tensor]) -> None:
        """Evaluates a batch of the study's streams."""
        inputs, targets = self.population.assign(batch)
        outputs = self.population(inputs)
        self.total.add(sums(self.population.loss, outputs, targets, self.noise))
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

    def predict(self, inputs: Tensor, targets: Tensor, split: int) -> dict[str, Tensor]:
        """The target and the prediction of each optimizer's ensemble, in the target's own unit.

        Args:
            inputs: (streams, batch, ...), or a file's rows, (batch, ...)
            targets: (streams, batch), or (batch,)
            split: that the rows are of; the members trained on it predict them

        Raises:
            ValueError: if the study was not of that split
        """
        groups: dict[str, list[int]] = {}
        members = self.population.members
        for number, member in enumerate(members):
            if member.split == split:
                groups.setdefault(member.trial.optimizer, []).append(number)
        if not groups:
            splits = sorted({member.split for member in members})
            raise ValueError(f"--data.split={split}: the study is of {splits}")
        if targets.ndim > 1:
            inputs, targets = self.population.assign((inputs, targets))
        else:  # a file's: for the members of that split, and others that do not count
            many = len(members)
            inputs, targets = (part.expand(many, *part.shape) for part in (inputs, targets))
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
