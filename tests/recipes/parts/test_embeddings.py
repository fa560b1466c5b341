"""Embeddings of numbers and categories, against the paper's equations written the slow way."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from datamodules import Diabetes, Digits, Tabular
from recipes.parts.embedded import Embedded, show_inputs
from recipes.parts.embeddings import (
    LinearEmbedding,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    periodic,
    piecewise_linear,
    quantile_bins,
)
from recipes.parts.networks import MLP

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--name=a")


def encoded(x, edges):
    """Equation 1 of the paper, one number and bin at a time."""
    last, values = len(edges) - 1, []
    for t in range(1, last + 1):
        if x < edges[t - 1] and t > 1:
            values.append(0.0)
        elif x >= edges[t] and t < last:
            values.append(1.0)
        else:
            values.append((x - edges[t - 1]) / (edges[t] - edges[t - 1]))
    return values


def test_piecewise_linear_is_equation_1():
    edges = [[-1.0, 0.0, 0.5, 3.0], [0.0, 10.0, 11.0, 12.0]]
    left = torch.tensor(edges)[:, :-1]
    x = torch.tensor([[-2.0, -1.0], [-0.3, 10.0], [0.5, 11.5], [7.0, 40.0]])
    found = piecewise_linear(x, left, torch.tensor(edges).diff(dim=1))
    expected = [[encoded(v, e) for v, e in zip(row, edges, strict=True)] for row in x.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_the_bins_hold_equal_numbers_of_rows():
    values = torch.randn(1000, 2, dtype=torch.float64)
    left, width = quantile_bins(values, 4)
    np.testing.assert_allclose(left, np.quantile(values, [0, 0.25, 0.5, 0.75], axis=0).T)
    np.testing.assert_allclose((left + width)[:, -1], values.amax(0))


def test_equal_quantiles_make_fewer_bins():
    values = torch.tensor([[0.0, 5.0]] * 90 + [[1.0, 5.0]] * 5 + [[2.0, 5.0]] * 5)
    left, width = quantile_bins(values, 10)
    found = piecewise_linear(torch.tensor([[0.5, 5.0], [4.0, 7.0]]), left, width)
    edges = values[:, 0].quantile(torch.linspace(0, 1, 11)).unique().tolist()
    bins = len(edges) - 1
    assert 0 < bins < 10 and found.isfinite().all()
    torch.testing.assert_close(found[0, 0, :bins], torch.tensor(encoded(0.5, edges)))
    torch.testing.assert_close(found[1, 0, :bins], torch.tensor(encoded(4.0, edges)))
    assert not found[:, 0, bins:].any() and not found[:, 1].any(), "a constant says nothing"


def test_periodic_is_section_3_3():
    inputs, coefficients = torch.randn(3, 2), torch.randn(2, 4)
    found = periodic(inputs, coefficients)
    for row in range(3):
        for feature in range(2):
            x = inputs[row, feature].item()
            v = [2 * math.pi * c * x for c in coefficients[feature].tolist()]
            expected = torch.tensor([*map(math.sin, v), *map(math.cos, v)])
            torch.testing.assert_close(found[row, feature], expected, rtol=1e-4, atol=1e-5)


def test_frequencies_are_drawn_with_sigma():
    torch.manual_seed(0)
    embedding = PeriodicEmbedding(20, frequencies=500, sigma=0.3)
    assert embedding.coefficients.std().item() == pytest.approx(0.3, rel=0.03)
    assert embedding.coefficients.mean().item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("make", "outputs"),
    [
        (lambda: LinearEmbedding(3, 5, relu=False), 15),
        (lambda: PeriodicEmbedding(3, 4, width=None), 24),
        (lambda: PeriodicEmbedding(3, 4, sigma=1, width=5, relu=False), 15),
        (lambda: PiecewiseLinearEmbedding(3, 4), 12),
        (lambda: PiecewiseLinearEmbedding(3, 4, width=5, relu=False), 15),
    ],
)
def test_each_number_has_weights_of_its_own(make, outputs):
    embedding, inputs = make(), torch.randn(2, 3)
    found = embedding(inputs)
    assert found.shape == (2, outputs) and embedding.outputs == outputs
    changed = inputs.clone()
    changed[:, 1] += 1
    differs = (embedding(changed) != found).any(0).unflatten(0, (3, -1)).any(1)
    assert differs.tolist() == [False, True, False]


def test_a_layer_of_each_number_is_its_equation_and_relu():
    embedding = LinearEmbedding(2, 3)
    weight, bias = embedding.linear.weight, embedding.linear.bias
    x = torch.randn(4, 2)
    rows = [[(v * weight[j, 0] + bias[j]).relu() for j, v in enumerate(row)] for row in x]
    expected = torch.stack([torch.cat(row) for row in rows])
    torch.testing.assert_close(embedding(x), expected)
    without = LinearEmbedding(2, 3, relu=False)
    without.load_state_dict(embedding.state_dict())
    torch.testing.assert_close(without(x).relu(), expected)


def test_a_category_is_a_row_of_its_table():
    embedded = Embedded(7, None, numbers=1, width=2, blocks=[3, 2])
    row = torch.tensor([[0.7, 1.0, 0, 0, 1, 1, 0]])  # a number, an indicator, two categories
    tables = [table.weight.T for table in embedded.categories]
    expected = torch.cat([row[0, :2], tables[0][2], tables[1][0]])
    torch.testing.assert_close(embedded(row)[0], expected)
    with pytest.raises(ValueError, match="more than inputs=7"):
        Embedded(7, None, numbers=3, width=2, blocks=[3, 2])
    with pytest.raises(ValueError, match="category_width=2 needs blocks"):
        MLP(7, [3], category_width=2)


def test_without_embeddings_the_network_is_what_it_was():
    torch.manual_seed(3)
    network = MLP(4, [5], 2, dropout=0.1)
    torch.manual_seed(3)
    layers = [nn.Linear(4, 5), nn.Linear(5, 2)]
    names = ["features.1.weight", "features.1.bias", "head.weight", "head.bias"]
    expected = [value for layer in layers for value in (layer.weight, layer.bias)]
    assert list(network.state_dict()) == names
    assert all(map(torch.equal, network.state_dict().values(), expected))


def test_only_numbers_are_embedded():
    network = MLP(5, [6], 1, embedding=lambda n: LinearEmbedding(n, 4), numbers=2)
    assert network.features[1].in_features == 2 * 4 + 3
    x = torch.randn(3, 5)
    torch.testing.assert_close(network.embedding(x)[:, 8:], x[:, 2:])
    assert MLP(5, [6], 1, embedding=LinearEmbedding, numbers=0).features[1].in_features == 5


def test_a_fit_shows_the_training_inputs_once_and_checkpoints_hold_the_bins(recipe):
    embedding = ("--model.network.embedding=PiecewiseLinearEmbedding",)
    flags = ("--model.loss=mse", "--model.network.embedding.bins=4")
    recipe("regress", "fit", *embedding, *flags, *SHORT)
    path = "runs/regress/a/checkpoints/last.ckpt"
    state = torch.load(path, weights_only=True)["state_dict"]
    expected, _ = quantile_bins(Diabetes().splits(0).train.inputs, 4)
    torch.testing.assert_close(state["network.embedding.numbers.left"], expected.float())
    config = yaml.safe_load(Path("runs/regress/a/config.yaml").read_text())
    assert config["model"]["network"]["init_args"]["numbers"] == 10
    recipe("regress", "test", f"--ckpt_path={path}")


@pytest.mark.slow
def test_an_ensemble_and_a_study_have_embeddings_of_their_own(recipe):
    embedding = ("--model.network.embedding=PeriodicEmbedding",)
    recipe("regress", "fit", *embedding, "--model.ensemble=2", *SHORT)
    state = torch.load("runs/regress/a/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    one, two = (state[f"network.{n}.embedding.numbers.coefficients"] for n in (0, 1))
    assert one.shape == (10, 48) and not torch.equal(one, two)
    recipe("study", "fit", *embedding, "--model.seeds=[0]", *SHORT)
    with pytest.raises(ValueError, match="each split of a study has other quantiles"):
        quantiles = "--model.network.embedding=PiecewiseLinearEmbedding"
        recipe("study", "fit", quantiles, *SHORT[:-1], "--name=b")


@pytest.mark.parametrize("name", ["classify", "distill"])
def test_all_that_learns_sees_the_training_inputs(recipe, name):
    """Student, teacher and control each have bins of the rows, and not the ones to begin with."""
    lines = ["a,b,k", *(f"{i * i},{i % 7},{'pq'[i % 3 == 0]}" for i in range(60))]
    Path("own.csv").write_text("\n".join(lines))
    networks = ["network"] if name == "classify" else ["student", "teacher"]
    flags = [f"--model.{each}={part}" for each in networks for part in ("MLP",)]
    flags += [f"--model.{each}.widths=[4]" for each in networks]
    flags += [f"--model.{each}.embedding=PiecewiseLinearEmbedding" for each in networks]
    if name == "distill":
        networks.append("control")
        flags += ["--model.scheme=online", "--model.control=true"]
    table = ("--data=Tabular", "--data.path=own.csv", "--data.target=k", "--data.batch_size=8")
    recipe(name, "fit", *table, *flags, *SHORT)
    state = torch.load(f"runs/{name}/a/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    data = Tabular("own.csv", "k")
    data.setup("fit")
    expected, _ = quantile_bins(data.training_inputs(), 16)
    for network in networks:
        torch.testing.assert_close(state[f"{network}.embedding.numbers.left"], expected.float())


def test_quantiles_need_a_table():
    data = Digits()
    data.setup("fit")
    with pytest.raises(ValueError, match=r"--model.a.embedding: .* need a table, such as"):
        show_inputs(MLP(64, [3], embedding=PiecewiseLinearEmbedding), data, "--model.a")
    show_inputs(MLP(64, [3], embedding=PeriodicEmbedding), data, "--model.a")
