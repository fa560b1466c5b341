"""Mixtures, scores, selection and mean weights against their definitions."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from recipes.ensemble.combine import Predicted, combined, cost, criterion, greedy_selection, scores
from recipes.ensemble.members import check_same_rows
from recipes.ensemble.soup import Ingredient, average, moved, refresh_statistics


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def classifiers(count, rows=30, classes=4):
    targets = torch.randint(classes, (rows,), generator=draw())
    found = []
    for seed in range(count):
        logits = 2 * torch.randn(rows, classes, generator=draw(seed + 1))
        columns = {"target": targets, "prediction": logits.argmax(1)}
        found.append(Predicted(columns | {"probability": logits.softmax(1)}))
    return found


def regressions(count, rows=20):
    targets = torch.randn(rows, generator=draw()).double()
    return [
        Predicted(
            {
                "target": targets,
                "prediction": targets + torch.randn(rows, generator=draw(seed + 1)),
                "std": torch.rand(rows, generator=draw(seed + 9)).double() + 0.5,
            }
        )
        for seed in range(count)
    ]


def test_probabilities_are_averaged_by_weight():
    runs = classifiers(3)
    found = combined(runs, torch.tensor([2.0, 0.0, 1.0]))
    expected = (2 * runs[0].columns["probability"] + runs[2].columns["probability"]) / 3
    torch.testing.assert_close(found.columns["probability"], expected.double())
    assert torch.equal(found.columns["prediction"], expected.argmax(1))
    assert torch.equal(found.columns["target"], runs[0].columns["target"])


def test_normal_distributions_become_their_mixture():
    """Mean and variance of many draws: a component first, then from it."""
    runs, weights = regressions(2, rows=3), torch.tensor([1.0, 3.0])
    found = combined(runs, weights)
    which = torch.multinomial(weights, 200_000, replacement=True, generator=draw())
    points, stds = (torch.stack([r.columns[n] for r in runs]) for n in ("prediction", "std"))
    noise = torch.randn(len(which), 3, generator=draw(), dtype=torch.float64)
    draws = points[which] + stds[which] * noise
    torch.testing.assert_close(found.columns["prediction"], draws.mean(0), rtol=0, atol=0.02)
    torch.testing.assert_close(found.columns["std"], draws.std(0), rtol=0, atol=0.02)


def test_scores_are_those_of_the_definitions():
    (run,) = classifiers(1)
    known = run.columns["target"].clone()
    known[:5] = torch.iinfo(torch.int64).min  # missing
    run = Predicted(run.columns | {"target": known})
    rows = [(p, t) for p, t in zip(run.columns["probability"], known, strict=True) if t >= 0]
    expected = {
        "accuracy": sum(int(p.argmax()) == int(t) for p, t in rows) / len(rows),
        "nll": -sum(math.log(p[t]) for p, t in rows) / len(rows),
    }
    assert len(rows) == 25 and scores(run) == pytest.approx(expected)
    (run,) = regressions(1)
    y, m, s = (run.columns[name] for name in ("target", "prediction", "std"))
    nll = -torch.distributions.Normal(m, s).log_prob(y).mean()
    expected = {"rmse": ((y - m) ** 2).mean().sqrt().item(), "nll": nll.item()}
    assert scores(run) == pytest.approx(expected)
    several = {f"{k}_{name}": v for name in "ab" for k, v in run.columns.items()}
    several["target_b"] = torch.full_like(y, torch.nan)
    assert scores(Predicted(several)) == pytest.approx(expected), "b is never known"
    with pytest.raises(ValueError, match="no row has a target"):
        scores(Predicted(run.columns | {"target": torch.full_like(y, torch.nan)}))


@pytest.mark.parametrize(("make", "name"), [(classifiers, "nll"), (regressions, "rmse")])
def test_an_average_is_no_worse_than_its_members_are_on_average(make, name):
    """Jensen's inequality, for the logarithm and for the square; not so of averaged logits."""
    runs = make(4)
    single = [scores(run)[name] for run in runs]
    together = scores(combined(runs, torch.ones(4)))[name]
    power = 2 if name == "rmse" else 1
    assert together**power < sum(value**power for value in single) / 4


@pytest.mark.parametrize("name", ["nll", "accuracy"])
def test_the_selection_is_greedy_and_never_worse_than_the_best_run(name):
    runs = classifiers(3)
    of = lambda counts: cost(scores(combined(runs, torch.tensor(counts))), name)  # noqa: E731
    counts, path = [0.0] * 3, []
    for _ in range(6):  # the definition
        trials = [[c + (i == k) for i, c in enumerate(counts)] for k in range(3)]
        counts = min(trials, key=of)
        path.append((of(counts), counts))
    found = greedy_selection(lambda weights: of(weights.tolist()), 3, 6)
    assert found.tolist() == min(path, key=lambda pair: pair[0])[1]
    assert of(found.tolist()) <= min(of(row) for row in torch.eye(3).tolist())
    every = itertools.product(range(4), repeat=3)
    least = min(of([float(c) for c in counts]) for counts in every if any(counts))
    assert of(found.tolist()) >= least - 0.01


def test_a_run_that_helps_nobody_is_left_out():
    right, wrong = classifiers(2)
    target = right.columns["target"]
    right = Predicted(right.columns | {"probability": torch.eye(4)[target] * 0.6 + 0.1})
    wrong = Predicted(wrong.columns | {"probability": torch.eye(4)[(target + 1) % 4] * 0.6 + 0.1})
    of = lambda weights: cost(scores(combined([wrong, right], weights)), "nll")  # noqa: E731
    assert greedy_selection(of, 2, 9).tolist() == [0, 1]


def test_a_metric_is_one_that_the_runs_have():
    assert (
        criterion({"rmse": 1, "nll": 2}, None) == "nll" and criterion({"rmse": 1}, None) == "rmse"
    )
    with pytest.raises(ValueError, match="--metric=accuracy: these runs have rmse, nll"):
        criterion({"rmse": 1, "nll": 2}, "accuracy")


def test_a_soup_of_linear_networks_is_their_average():
    networks = [nn.Linear(5, 3) for _ in range(3)]
    soup = nn.Linear(5, 3)
    soup.load_state_dict(average([network.state_dict() for network in networks]))
    inputs = torch.randn(7, 5)
    expected = torch.stack([network(inputs) for network in networks]).mean(0)
    torch.testing.assert_close(soup(inputs), expected)


def normed(seed):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
    network[2](torch.randn(64, 6))  # statistics of its own; those of the first norm stand still
    return network.eval()


def test_statistics_of_a_soup_are_those_of_its_own_activations():
    """Those of the members' average are not; frozen ones stay; nothing is left in training mode."""
    runs = [normed(seed) for seed in range(2)]
    states = [run.state_dict() for run in runs]
    soup = normed(2)
    soup.load_state_dict(average(states))
    before = soup[2].running_var.clone()
    batches = [(torch.randn(50, 4, generator=draw(n)), None) for n in range(3)]
    refresh_statistics(soup, moved(states), batches)
    seen = [soup[1](soup[0](inputs)) for inputs, _ in batches]
    torch.testing.assert_close(soup[2].running_mean, torch.stack([s.mean(0) for s in seen]).mean(0))
    expected = torch.stack([s.var(0) for s in seen]).mean(0)
    torch.testing.assert_close(soup[2].running_var, expected)
    assert not torch.allclose(before, expected, rtol=0.1)
    assert torch.equal(soup[0].running_mean, torch.zeros(4)), "it stood still in training"
    assert soup[2].momentum == 0.1 and not any(module.training for module in soup.modules())


def test_other_running_statistics_are_refused():
    soup = nn.Sequential(nn.InstanceNorm1d(4, track_running_stats=True)).eval()
    with pytest.raises(ValueError, match="running statistics of InstanceNorm1d"):
        refresh_statistics(soup, {"0.running_mean"}, [])


def test_networks_of_other_settings_are_told_apart():
    state = nn.Linear(2, 2).state_dict()
    one = Ingredient(state, {"network.activation": "relu", "network.dropout": 0.1})
    assert one.difference(Ingredient(state, one.architecture | {"network.dropout": 0.5})) == ""
    other = Ingredient(state, one.architecture | {"network.activation": "tanh"})
    assert one.difference(other) == "--model.network.activation=tanh, not relu"
    wider = Ingredient(nn.Linear(3, 2).state_dict(), one.architecture)
    assert one.difference(wider) == "weight is of another shape, or is not there"


def test_other_rows_are_refused():
    """Also where their number and classes are the same."""
    runs = [SimpleNamespace(folder=name) for name in "ab"]
    one, two = regressions(2)
    check_same_rows(runs, [one, two])
    gone = Predicted(one.columns | {"target": torch.full((20,), torch.nan)})
    check_same_rows(runs, [gone, gone])
    turned = {name: values.flip(0) for name, values in two.columns.items()}
    for other, said in [
        (Predicted(turned), "b and a have other targets"),
        (gone, "b and a have other targets"),
        (Predicted({k: v[:5] for k, v in two.columns.items()}), "differ in their number of rows"),
        (Predicted({k: v for k, v in two.columns.items() if k != "std"}), "in their columns"),
        (Predicted(two.columns, ("x", "y")), r"differ in their classes: \('x', 'y'\), \(\)"),
    ]:
        with pytest.raises(ValueError, match=said):
            check_same_rows(runs, [one, other])
