"""Attributions against their definitions, where these can be computed."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from recipes.explain.methods import METHODS, Options
from recipes.explain.shapley import coalitions, shapley_values
from recipes.explain.subjects import Masked, Words

WEIGHTS = torch.tensor([3.0, -2.0, 0.5, 0.0])


def table(function, point, baselines):
    names = [f"x{number}" for number in range(len(point))]
    return Masked(function, point, baselines, torch.arange(len(point)), names, names, baselines)


def linear(inputs):
    return inputs.double() @ WEIGHTS.double() + 1


def curved(inputs):
    """Two columns act together, one alone, one not at all."""
    return inputs[:, 0].double() * inputs[:, 1] + inputs[:, 2].double().tanh()


POINT, BASE = torch.tensor([2.0, 1.0, -1.0, 5.0]), torch.tensor([[1.0, 0.0, 1.0, 2.0]])


def game(seed, features):
    draw = torch.Generator().manual_seed(seed)
    table = torch.randn(2**features, generator=draw, dtype=torch.float64)
    return lambda members: table[(members * 2 ** torch.arange(features)).sum(1)]


@pytest.mark.parametrize("features", [1, 3, 8])
def test_shapley_values_are_means_over_all_orders(features):
    """Each feature's gain when it joins, over all n! orders: the definition the slow way."""
    value = game(features, features)
    members = coalitions(features)
    values = value(members).tolist()  # by number
    gains = np.zeros(features)
    for order in itertools.permutations(range(features)):
        number = 0
        for feature in order:
            gains[feature] += values[number | 1 << feature] - values[number]
            number |= 1 << feature
    expected = gains / math.factorial(features)
    found = shapley_values(value, features)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)
    assert found.sum().item() == pytest.approx(values[-1] - values[0])


def test_shapley_values_are_those_of_captum():
    attributions = pytest.importorskip("captum.attr", reason="needs the extra: explain")
    subject = table(curved, POINT, BASE)
    ones = torch.ones(1, 4)
    expected = attributions.ShapleyValues(subject.with_present).attribute(ones, torch.zeros(1, 4))
    torch.testing.assert_close(shapley_values(subject.with_present, 4), expected[0].double())


def test_many_features_are_sampled(monkeypatch):
    """Near the exact values, and the sum is exact."""
    pytest.importorskip("captum", reason="needs the extra: explain")
    subject = table(curved, POINT, BASE)
    exact = METHODS["kernel_shap"](subject, Options())
    monkeypatch.setattr("recipes.explain.methods.EXACT", 3)
    sampled = METHODS["kernel_shap"](subject, Options(samples=400))
    torch.testing.assert_close(sampled.values, exact.values, rtol=0, atol=0.05)
    assert sampled.miss(curved(POINT[None]).item()) < 1e-4
    assert not torch.equal(sampled.values, exact.values)


@pytest.mark.parametrize("name", METHODS)
def test_of_a_linear_function_all_are_weight_times_change(name):
    pytest.importorskip("captum", reason="needs the extra: explain")
    if name == "occlusion":
        return  # of neighbours, see below
    subject = table(linear, POINT, BASE)
    found = METHODS[name](subject, Options(alpha=1e-4, samples=300))
    expected = (WEIGHTS * (POINT - BASE[0])).double()
    torch.testing.assert_close(found.values, expected, rtol=0, atol=2e-3)
    if found.reference is not None:
        assert found.reference == pytest.approx(linear(BASE).item())
        assert found.miss(linear(POINT[None]).item()) < 1e-4


def test_absent_columns_are_averaged_over_the_background():
    base = torch.randn(7, 4, generator=torch.Generator().manual_seed(1))
    present = torch.tensor([[1, 0, 0, 1], [0, 1, 1, 0]])
    found = table(curved, POINT, base).with_present(present)
    for row, members in zip(found, present, strict=True):
        inputs = [torch.where(members > 0, POINT, b) for b in base]
        assert row.item() == pytest.approx(np.mean([curved(i[None]).item() for i in inputs]))


def test_integrated_gradients_take_more_steps_until_they_add_up():
    """A steep step in the middle of the path is missed by few of them."""
    pytest.importorskip("captum", reason="needs the extra: explain")
    steep = lambda inputs: (400 * (inputs[:, 0].double() - 0.503)).sigmoid()  # noqa: E731
    subject = table(steep, torch.ones(1), torch.zeros(1, 1))
    rough = METHODS["integrated_gradients"](subject, Options(tolerance=10))
    assert rough.steps == 50 and rough.miss(1.0) > 0.02
    fine = METHODS["integrated_gradients"](subject, Options(tolerance=0.001))
    assert fine.steps > 50 and fine.miss(1.0) <= 0.001


class Wrong(torch.autograd.Function):
    """Twice the value, but with another gradient, as feedback alignment has."""

    @staticmethod
    def forward(ctx, inputs):
        return 2 * inputs

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def test_wrong_gradients_do_not_add_up():
    pytest.importorskip("captum", reason="needs the extra: explain")
    function = lambda inputs: Wrong.apply(inputs).sum(1)  # noqa: E731
    subject = table(function, POINT, BASE)
    found = METHODS["integrated_gradients"](subject, Options())
    assert found.miss(function(POINT[None]).item()) > 0.3


def test_lime_does_not_depend_on_the_unit():
    """captum's own alpha leaves nothing of a probability, and shrinks nothing of a price."""
    attributions = pytest.importorskip("captum.attr", reason="needs the extra: explain")
    options = Options(samples=300)
    small, large = (
        METHODS["lime"](table(lambda x, s=scale: s * linear(x), POINT, BASE), options).values
        for scale in (1e-3, 1e3)
    )
    torch.testing.assert_close(large, 1e6 * small, rtol=1e-3, atol=1e-3)
    assert small.abs().max() > 1e-3
    subject = table(lambda x: 1e-3 * linear(x), POINT, BASE)
    stock = attributions.Lime(subject.with_present)
    found = stock.attribute(torch.ones(1, 4), torch.zeros(1, 4), n_samples=300)
    assert found.abs().max() < 1e-3, "what alpha is given for"


def test_occlusion_shares_what_a_window_loses():
    pytest.importorskip("captum", reason="needs the extra: explain")
    image, black = torch.rand(1, 4, 4), torch.zeros(1, 1, 4, 4)
    owner = torch.arange(16).view(1, 4, 4)
    names = [str(number) for number in range(16)]
    bright = lambda inputs: inputs.flatten(1).double().sum(1)  # noqa: E731
    subject = Masked(bright, image, black, owner, names, names, black)
    found = METHODS["occlusion"](subject, Options(window=2))
    # Windows of 2x2 at every pixel: a corner is in one, with its three neighbours.
    assert found.map[0, 0, 0].item() == pytest.approx(image[0, :2, :2].sum().item(), rel=1e-5)
    with pytest.raises(ValueError, match="--method=occlusion is of pictures and texts"):
        METHODS["occlusion"](table(linear, POINT, BASE), Options())


class Bag(nn.Module):
    """Each word's own number, counted while it is there, and how many words there are."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 2, padding_idx=0)

    def forward(self, tokens):
        length = (tokens != 0).sum(1)
        return self.embedding(tokens).sum((1, 2)).double() + 10 * length


def test_words_are_left_out_and_not_replaced():
    network = Bag()
    subject = Words(network, torch.tensor([4, 7, 2]), ["a", "b", "c"], network.embedding)
    left = subject.left(torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert left.tolist() == [[4, 2, 0], [0, 0, 0], [2, 0, 0]]
    own = network.embedding.weight.sum(1).double()
    expected = own[[4, 7, 2]].detach() + 10
    for name in ("kernel_shap", "feature_ablation"):
        if name == "feature_ablation":
            pytest.importorskip("captum", reason="needs the extra: explain")
        found = METHODS[name](subject, Options()).values
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found = METHODS["integrated_gradients"](subject, Options())
    torch.testing.assert_close(found.values, expected - 10, rtol=1e-5, atol=1e-5)
    assert network(torch.tensor([[4, 7, 2]])).item() == pytest.approx(
        expected.sum().item(), rel=1e-5
    )
