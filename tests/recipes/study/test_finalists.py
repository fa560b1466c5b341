"""Metrics and predictions of chosen members and their ensembles, against the definition."""

import pytest
import torch
from torch import nn

from recipes.regress.losses import Loss
from recipes.study.finalists import Finalists
from recipes.study.members import Member, Trial


@pytest.mark.parametrize("loss", ["gaussian_nll", "mse"])
def test_ensembles_are_mixtures_in_the_targets_own_unit(loss):
    chosen = [Member(Trial("SGD", 0.1), 0, 0), Member(Trial("Adam", 0.1), 0, 0)]
    chosen.append(Member(Trial("SGD", 0.1), 1, 0))
    outputs, targets = torch.randn(3, 5, 2 if loss == "gaussian_nll" else 1), torch.randn(5)
    noise, scale = torch.tensor([0.5, 0.2, 0.9]), torch.tensor([[10.0, 3.0], [0.0, 1.0]])

    class Stub:
        members, stream = chosen, torch.tensor([0, 0, 0])
        loss = Loss()

        def to(self, *where):
            return self

        eval = to

        def assign(self, batch):
            return [part[self.stream] for part in batch]

        def __call__(self, inputs):
            return outputs[:, inputs[0]]

    Stub.loss = Loss(loss)
    finalists = Finalists(Stub(), noise, scale, torch.device("cpu"), torch.float32)
    for rows in (slice(0, 2), slice(2, 5)):  # batches
        finalists.update((torch.arange(5)[None, rows], targets[None, rows]))
    *alone_, sgd, adam = finalists.rows()
    columns = finalists.predict(torch.arange(5), targets, split=0)
    streams = finalists.predict(torch.arange(5).unsqueeze(0), targets.unsqueeze(0), split=0)
    assert all(torch.equal(columns[name], streams[name]) for name in columns)

    own, mean = 10 + 3 * targets, 10 + 3 * outputs[..., 0]
    variance = 9 * noise.unsqueeze(1).expand(3, 5)
    if loss == "gaussian_nll":
        variance = 9 * (nn.functional.softplus(outputs[..., 1]) + 1e-6)
    for row, ids in ((sgd, [0, 2]), (adam, [1]), *((r, [i]) for i, r in enumerate(alone_))):
        centre = mean[ids].mean(0)
        second = (variance[ids] + mean[ids].square()).mean(0)  # moment of the mixture
        deviation = (second - centre.square()).sqrt()
        normal = torch.distributions.Normal(centre, deviation)
        assert row["rmse"] == pytest.approx(float((centre - own).square().mean().sqrt()), rel=1e-4)
        assert row["mae"] == pytest.approx(float((centre - own).abs().mean()), rel=1e-4)
        assert row["nll"] == pytest.approx(float(-normal.log_prob(own).mean()), rel=1e-4)
        if row["seed"] == "ensemble":
            torch.testing.assert_close(columns[row["optimizer"]], centre)
            std = columns[f"{row['optimizer']}_std"]
            torch.testing.assert_close(std, deviation, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(columns["target"], own)
