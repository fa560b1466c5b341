"""Each loss of a regression against its definition, written the slow way, and against others'."""

import math

import pytest
import torch
from sklearn.metrics import mean_pinball_loss
from torch.nn import functional as F

from recipes.regress.losses import LEAST_VARIANCE, Loss, gaussian, gaussian_nll, pinball

LEVELS = (0.05, 0.3, 0.95)


@pytest.fixture
def rows():
    """Outputs (7, 3) and targets (7,)."""
    generator = torch.Generator().manual_seed(0)
    outputs = 2 * torch.randn(7, 3, generator=generator, dtype=torch.float64)
    return outputs, 2 * torch.randn(7, generator=generator, dtype=torch.float64)


def slow(name, output, target):
    error = target - output[0]
    if name == "mse":
        return error**2
    if name == "mae":
        return abs(error)
    if name == "huber":
        return error**2 / 2 if abs(error) <= 0.7 else 0.7 * (abs(error) - 0.35)
    if name == "gaussian_nll":
        variance = math.log1p(math.exp(output[1])) + 1e-6
        density = math.exp(-(error**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
        return -math.log(density)
    total = 0.0
    for level, quantile in zip(LEVELS, output, strict=True):
        error = target - quantile
        total += level * error if error >= 0 else (level - 1) * error
    return total / 3


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "gaussian_nll", "quantile"])
def test_loss_is_its_definition(rows, name):
    outputs, targets = rows
    loss = Loss(name, 0.7, LEVELS)
    outputs = outputs[:, : loss.outputs]
    found = loss(outputs, targets)
    expected = [slow(name, *row) for row in zip(outputs.tolist(), targets.tolist(), strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    # Many networks at once: (networks, batch, n) of the same targets.
    twice = loss(torch.stack([outputs, outputs + 1]), targets)
    assert torch.equal(twice[0], found) and torch.equal(twice[1], loss(outputs + 1, targets))


def test_losses_are_those_of_others(rows):
    outputs, targets = rows
    point = outputs[:, 0]
    for delta in (0.1, 1.0, 3.0):
        found = Loss("huber", delta)(outputs[:, :1], targets).mean()
        torch.testing.assert_close(found, F.huber_loss(point, targets, delta=delta))
    mean, variance = gaussian(outputs[:, :2])
    stock = torch.nn.GaussianNLLLoss(full=True, eps=0)(mean, targets, variance)
    torch.testing.assert_close(Loss("gaussian_nll")(outputs[:, :2], targets).mean(), stock)
    losses = [mean_pinball_loss(targets, outputs[:, i], alpha=q) for i, q in enumerate(LEVELS)]
    found = pinball(outputs, targets, torch.tensor(LEVELS, dtype=torch.float64)).mean()
    assert found.item() == pytest.approx(sum(losses) / 3, rel=1e-12)


def test_gaussian_nll_has_the_gradient_of_its_formula(rows):
    """d/df = (f - y) / v;  d/dv = (1 - (y - f)^2 / v) / (2 v)."""
    outputs, targets = rows
    mean = outputs[:, 0].clone().requires_grad_()
    variance = outputs[:, 1].exp().clone().requires_grad_()
    gaussian_nll(mean, variance, targets).sum().backward()
    with torch.no_grad():
        torch.testing.assert_close(mean.grad, (mean - targets) / variance)
        expected = (1 - (targets - mean).square() / variance) / (2 * variance)
        torch.testing.assert_close(variance.grad, expected)


def test_a_variance_cannot_vanish():
    outputs = torch.tensor([[0.0, -200.0]], requires_grad=True)
    loss = Loss("gaussian_nll")(outputs, torch.tensor([0.5]))
    loss.sum().backward()
    assert gaussian(outputs)[1].item() == pytest.approx(LEAST_VARIANCE)
    assert loss.isfinite().all() and outputs.grad.isfinite().all()


@pytest.mark.parametrize(("name", "statistic"), [("mse", "mean"), ("mae", "median")])
def test_the_best_constant_is_the_mean_or_the_median(name, statistic):
    targets = torch.tensor([0.0, 1.0, 2.0, 9.0, 100.0])
    grid = torch.linspace(0, 100, 10_001)
    losses = Loss(name)(grid.view(-1, 1, 1), targets).mean(1)
    assert grid[losses.argmin()].item() == pytest.approx(
        getattr(targets, statistic)().item(), abs=0.01
    )


def test_the_best_quantiles_are_the_sample_s():
    targets = torch.arange(1.0, 100.0)
    grid = torch.linspace(0, 100, 2_001)
    for level in LEVELS:
        losses = Loss("quantile", levels=(level,))(grid.view(-1, 1, 1), targets).mean(1)
        assert grid[losses.argmin()].item() == pytest.approx(100 * level, abs=1)


def test_point_predictions():
    outputs = torch.tensor([[1.0, 2.0, 3.0]])
    assert Loss("quantile").predict(outputs)[0].item() == 2, "the median"
    assert Loss("quantile", levels=(0.1, 0.2, 0.4)).predict(outputs)[0].item() == 3
    mean, variance = Loss("gaussian_nll").predict(outputs[:, :2])
    assert mean.item() == 1 and variance.item() == pytest.approx(math.log1p(math.exp(2)), rel=1e-5)
    assert [Loss(name).outputs for name in ("mse", "huber", "gaussian_nll", "quantile")] == [
        1,
        1,
        2,
        3,
    ]
