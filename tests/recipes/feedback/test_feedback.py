"""Feedback alignment: updates by their formulas, what they coincide with, and that they learn."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from datamodules.loading.missing import MISSING
from recipes.feedback import Feedback, FeedbackMLP
from recipes.feedback.module import angle, binary_cross_entropies
from trains import digits, fit

METHODS = ("direct", "alignment", "backpropagation")
IMAGES = torch.from_numpy(load_digits().data[:12] / 16)
LABELS = torch.from_numpy(load_digits().target[:12]).long()
DERIVATIVES = {  # of the activation's value
    "tanh": (np.tanh, lambda h: 1 - h**2),
    "sigmoid": (lambda a: 1 / (1 + np.exp(-a)), lambda h: h * (1 - h)),
    "relu": (lambda a: np.maximum(a, 0), lambda h: (h > 0).astype(float)),
}


def network(feedback, widths=(7, 6, 5), seed=0, **options):
    """In float64, so that what is equal in theory differs by rounding alone."""
    torch.manual_seed(seed)
    return FeedbackMLP(64, list(widths), 10, feedback, **options).double()


def updates(of, loss=F.cross_entropy):
    """What a training pass gives all parameters, by name."""
    of.zero_grad()
    loss(of(IMAGES), LABELS).backward()
    return {name: parameter.grad.clone() for name, parameter in of.named_parameters()}


def layers(of):
    """Weights and biases of all layers, as numpy has them."""
    return [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in (*of.hidden, of.head)
    ]


def by_formula(of, error):
    """Updates of all weights, layer by layer and example by example.

    Lillicrap et al. 2016: delta_l = B_(l+1)^T delta_(l+1) * f'; Nøkland 2016:
    delta_l = B_l^T e * f'; the weights' update is the mean of delta_l h_(l-1)^T.
    """
    function, derivative = DERIVATIVES[of.activation]
    weights, matrices = layers(of), [matrix.numpy() for matrix in of.matrices]
    total = [np.zeros_like(weight) for weight, _ in weights]
    for x, label in zip(IMAGES.numpy(), LABELS.tolist(), strict=True):
        hidden = [x]
        for weight, bias in weights[:-1]:
            hidden.append(function(weight @ hidden[-1] + bias))
        e = error(weights[-1][0] @ hidden[-1] + weights[-1][1], label)
        delta = e
        total[-1] += np.outer(e, hidden[-1])
        for layer in reversed(range(len(weights) - 1)):
            back = {
                "direct": lambda layer=layer, e=e: matrices[layer].T @ e,
                "alignment": lambda layer=layer, delta=delta: matrices[layer].T @ delta,
                "backpropagation": lambda layer=layer, delta=delta: weights[layer + 1][0].T @ delta,
            }
            delta = back[of.feedback]() * derivative(hidden[layer + 1])
            total[layer] += np.outer(delta, hidden[layer])
    return [each / len(IMAGES) for each in total]


def of_softmax(logits, label):
    probabilities = np.exp(logits - logits.max())
    return probabilities / probabilities.sum() - np.eye(10)[label]


def of_sigmoids(logits, label):
    return 1 / (1 + np.exp(-logits)) - np.eye(10)[label]


def binary(logits, targets):
    return binary_cross_entropies(logits, targets).mean()


# By definition.


@pytest.mark.parametrize("activation", DERIVATIVES)
@pytest.mark.parametrize("feedback", METHODS)
def test_updates_are_those_of_the_formulas(feedback, activation):
    of = network(feedback, activation=activation)
    for loss, error in ((F.cross_entropy, of_softmax), (binary, of_sigmoids)):
        found = updates(of, loss)
        names = [*(f"hidden.{layer}.weight" for layer in range(3)), "head.weight"]
        for name, expected in zip(names, by_formula(of, error), strict=True):
            assert np.abs(expected).max() > 1e-6, "there is something to compare"
            np.testing.assert_allclose(found[name].numpy(), expected, rtol=1e-9, atol=1e-12)


def test_the_binary_loss_is_its_definition_and_leaves_out_missing_targets():
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, 3.0], [9.0, 9.0, 9.0]])
    found = binary_cross_entropies(logits, torch.tensor([0, 1, MISSING]))
    for row, target, value in zip(logits.tolist(), (0, 1), found.tolist(), strict=False):
        probabilities = [1 / (1 + math.exp(-z)) for z in row]
        slow = [-math.log(p if c == target else 1 - p) for c, p in enumerate(probabilities)]
        assert value == pytest.approx(sum(slow), rel=1e-6)
    assert found[2] == 0
    with pytest.raises(RuntimeError):
        binary_cross_entropies(logits, torch.tensor([0, 1, 3]))


def test_angles():
    x = torch.tensor([3.0, 0.0, 0.0])
    others = [[2, 0, 0], [1, 1, 0], [0, 5, 0], [-1, 0, 0], [0, 0, 0]]
    found = [angle(x, torch.tensor(other).float()).item() for other in others]
    assert found == pytest.approx([0, 45, 90, 180, 90], abs=1e-4)
    assert angle(1e-30 * x, x).item() == 0, "also of tiny gradients"


# What the methods coincide with.


@pytest.mark.parametrize("depth", [1, 2, 6])
def test_alignment_by_the_transposed_weights_is_back_propagation_at_any_depth(depth):
    """Bit for bit, and step after step while the matrices follow the weights."""
    one = network("backpropagation", [9] * depth, dropout=0.2)
    two = network("alignment", [9] * depth, dropout=0.2)
    for matrix, layer in zip(two.matrices, [*two.hidden[1:], two.head], strict=True):
        matrix.set_(layer.weight.detach())
    for step in range(5):
        found = []
        for of in (one, two):
            torch.manual_seed(step)  # the same units are dropped
            found.append(updates(of))
            torch.optim.SGD(of.parameters(), lr=1.0).step()
        assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert found[0]["hidden.0.weight"].abs().max() > 0


def test_direct_alignment_by_the_transposed_weights_is_back_propagation_of_one_hidden_layer():
    one, two = network("backpropagation", [9]), network("direct", [9])
    two.matrices[0].set_(two.head.weight.detach())
    found = updates(one), updates(two)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    deep = network("backpropagation", [9, 9]), network("direct", [9, 9])
    for matrix in deep[1].matrices:
        matrix.set_(deep[1].head.weight.detach())
    first, second = (updates(of) for of in deep)
    assert torch.equal(first["hidden.1.weight"], second["hidden.1.weight"]), "the last one"
    assert not first["hidden.0.weight"].allclose(second["hidden.0.weight"], rtol=0.1)


def test_with_one_hidden_layer_the_two_methods_are_the_same():
    one, two = network("alignment", [9]), network("direct", [9])
    assert torch.equal(one.matrices[0], two.matrices[0])
    found = updates(one), updates(two)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_seed_gives_the_same_weights_whatever_the_method_is():
    states = [dict(network(feedback).named_parameters()) for feedback in METHODS]
    assert all(states[0][k].equal(other[k]) for k in states[0] for other in states[1:])
    matrices = network("direct").matrices
    assert [tuple(matrix.shape) for matrix in matrices] == [(10, 7), (10, 6), (10, 5)]
    shapes = [tuple(matrix.shape) for matrix in network("alignment").matrices]
    assert shapes == [(6, 7), (5, 6), (10, 5)] and not network("backpropagation").matrices
    wide = network("direct", [400]).matrices[0]
    assert 0.99 / 20 < wide.abs().max() < 1 / 20
    assert wide.std().item() == pytest.approx(1 / 20 / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("feedback", METHODS)
def test_in_evaluation_mode_gradients_are_those_of_the_function(feedback):
    of, plain = network(feedback), network("backpropagation")
    inputs = IMAGES.clone().requires_grad_()
    assert torch.equal(of(inputs), plain(inputs)), "activations do not differ"
    expected = updates(plain)
    (trained,) = torch.autograd.grad(F.cross_entropy(plain(inputs), LABELS), inputs)
    of.eval()
    assert all(value.equal(expected[name]) for name, value in updates(of).items())
    (found,) = torch.autograd.grad(F.cross_entropy(of(inputs), LABELS), inputs)
    assert found.equal(trained)


def test_angles_are_of_the_same_dropped_units_and_draw_no_random_number():
    module = Feedback(network("alignment", [40, 40], dropout=0.5))
    reduce = lambda value, reduce_op: value  # noqa: E731
    strategy = SimpleNamespace(reduce=reduce)
    module.trainer = SimpleNamespace(strategy=strategy, world_size=1)
    for matrix, layer in zip(module.network.matrices, module.network.hidden[1:], strict=False):
        matrix.set_(layer.weight.detach())
    module.network.matrices[-1].set_(module.network.head.weight.detach())
    before = torch.get_rng_state()
    found = module.angles(IMAGES, LABELS)
    assert torch.equal(torch.get_rng_state(), before)
    assert [*found] == ["train/angle/1", "train/angle/2"]
    assert max(found.values()) < 1e-3, "the transposed weights, and the same units"
    assert all(parameter.grad is None for parameter in module.parameters())


# That they learn.

SMALL = {"outputs": 10, "widths": [30, 30, 30]}


@pytest.fixture(scope="module", params=["direct", "alignment"])
def trained(request, tmp_path_factory):
    """A short training on the digits: the module, its matrices at the start, what it has logged."""
    torch.manual_seed(0)
    module, angles = Feedback(FeedbackMLP(64, feedback=request.param, **SMALL)), []
    first = copy.deepcopy(module.network.matrices)
    log_dict = module.log_dict
    module.log_dict = lambda terms, **kwargs: (angles.append(terms), log_dict(terms, **kwargs))
    steps = {"max_epochs": 8, "log_every_n_steps": 8, "logger": True}
    folder = tmp_path_factory.mktemp(request.param)
    _, trainer = fit(module, digits(), folder, **steps)
    logged = [terms for terms in angles if "train/angle/1" in terms]
    return SimpleNamespace(module=module, first=first, logged=logged, trainer=trainer)


def test_it_learns_and_its_angles_fall_below_90_degrees(trained):
    assert trained.trainer.callback_metrics["val/accuracy"] > 0.85
    assert len(trained.logged) == 16
    for layer in (1, 2, 3):
        angles = [float(terms[f"train/angle/{layer}"]) for terms in trained.logged]
        assert sum(angles[-4:]) / 4 < 75
        assert sum(angles[-4:]) < sum(angles[:4])


def test_the_matrices_stay_as_they_were_bit_for_bit(trained):
    assert len(trained.first) == 3
    assert all(map(torch.equal, trained.first, trained.module.network.matrices))


@pytest.mark.parametrize("feedback", METHODS)
def test_from_zeros_errors_through_fixed_matrices_learn_and_back_propagation_does_not(
    feedback, tmp_path
):
    torch.manual_seed(0)
    module = Feedback(FeedbackMLP(64, feedback=feedback, start="zeros", **SMALL))
    _, trainer = fit(module, digits(), tmp_path, max_epochs=8)
    hidden = torch.cat([parameter.flatten() for parameter in module.network.hidden.parameters()])
    if feedback == "backpropagation":
        assert not hidden.any() and not module.network.head.weight.any()
        assert trainer.callback_metrics["val/accuracy"] < 0.2
    else:
        assert trainer.callback_metrics["val/accuracy"] > 0.7
