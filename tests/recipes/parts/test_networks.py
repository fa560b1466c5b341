"""The networks' shapes and precision, and what `Frozen` promises of a teacher."""

import numpy as np
import pytest
import torch
from torch import nn

from recipes.gan.networks import MLPGenerator
from recipes.parts.networks import (
    MLP,
    ConvNet,
    Frozen,
    LinearModel,
    QuadraticModel,
    random_rotation,
)
from recipes.parts.residual import CIFARResNet, ResNet18


@pytest.mark.parametrize(
    "network", [MLP(64, [5, 7], 3, 0.5, 0.2), MLP(64, [], 3), ConvNet([4, 6], 3)]
)
def test_networks_map_images_to_logits(network):
    assert network(torch.rand(4, 1, 8, 8)).shape == (4, 3)


def test_the_last_layer_is_float32_under_autocast():
    network, inputs = MLP(64, [8], 3), torch.rand(4, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert network.features(inputs).dtype == torch.bfloat16
        assert network(inputs).dtype == torch.float32


def test_dropout_is_where_it_was_asked_for():
    assert [m.p for m in MLP(8, [4, 4], 2, 0.5, 0.2).modules() if isinstance(m, nn.Dropout)] == [
        0.2,
        0.5,
        0.5,
    ]
    assert not any(isinstance(m, nn.Dropout) for m in MLP(8, [4, 4], 2).modules())


@pytest.fixture
def teacher():
    return ConvNet([4], 3, dropout=0.5)


def test_frozen_never_trains(teacher):
    owner = nn.ModuleDict({"teacher": Frozen(teacher)}).train()
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert list(owner.parameters()) == [] and owner.state_dict() == {}


def test_frozen_statistics_do_not_drift_where_requires_grad_alone_lets_them(teacher):
    inputs = torch.rand(8, 1, 8, 8)
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    nn.ModuleDict({"teacher": Frozen(teacher)}).train()["teacher"](inputs)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())

    stock = nn.ModuleDict({"teacher": teacher.requires_grad_(False)}).train()
    stock["teacher"](inputs)
    assert not all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())


def test_frozen_gives_no_gradient_and_follows_its_owner(teacher):
    frozen = Frozen(teacher)
    inputs = torch.rand(4, 1, 8, 8, requires_grad=True)
    assert not frozen(inputs).requires_grad
    nn.ModuleDict({"teacher": frozen}).double()
    assert all(p.dtype == torch.float64 for p in teacher.parameters())


def test_a_linear_model_starts_at_zero_and_draws_nothing():
    state = torch.get_rng_state()
    network = LinearModel(3, 2)
    assert not any(parameter.any() for parameter in network.parameters())
    assert network(torch.ones(5, 3)).shape == (5, 2) and torch.equal(torch.get_rng_state(), state)
    assert LinearModel(3, bias=False).bias is None


@pytest.mark.parametrize("dimension", [2, 3, 4, 7])
def test_rotations(dimension):
    """Orthogonal with determinant 1, and the first axis goes anywhere."""
    generator = np.random.RandomState(0)
    many = np.array([random_rotation(dimension, generator) for _ in range(400)])
    np.testing.assert_allclose(many @ many.transpose(0, 2, 1) - np.eye(dimension), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(many), 1)
    assert np.abs(many.mean(0)).max() < 4 / np.sqrt(400 * dimension)


def test_the_quadratic_is_deepobs_s():
    """Its losses on the published data, of which the last batch of 128 was left out."""
    network = QuadraticModel().double()
    train, test = (
        torch.from_numpy(np.random.RandomState(seed).normal(0, 0.6, (1000, 100)))
        for seed in (42, 43)
    )
    with torch.no_grad():
        assert network(test).shape == (1000, 1)
        assert network(test[:896]).mean().item() == pytest.approx(353.4468, abs=1e-4)
        network.theta.copy_(train.mean(0))
        assert network(test[:896]).mean().item() == pytest.approx(87.04601, abs=1e-5)
    slow = [0.5 * error @ network.matrix @ error for error in network.theta - test[:3]]
    torch.testing.assert_close(network(test[:3]), torch.stack(slow).unsqueeze(1))
    assert list(network.state_dict()) == ["theta"] and torch.linalg.eigvalsh(network.matrix)[0] > 0


def test_the_quadratics_of_many_parameters_at_once():
    network, inputs = QuadraticModel(5), torch.rand(4, 5)
    parameters = {"theta": torch.rand(3, 5)}

    def call(parameters):
        return torch.func.functional_call(network, parameters, inputs)

    found = torch.vmap(call)(parameters)
    for theta, outputs in zip(parameters["theta"], found, strict=True):
        torch.testing.assert_close(outputs, call({"theta": theta}))


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (MLP(64, [8], 3, 0.5), (64,)),
        (ConvNet([4, 6], 3), (1, 8, 8)),
        (LinearModel(5), (5,)),
        (QuadraticModel(5), (5,)),
        (CIFARResNet(8), (3, 32, 32)),
        (ResNet18(width=4), (3, 64, 64)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_networks_are_scripted_and_saved_without_this_package(network, shape):
    inputs = torch.rand(4, *shape)
    torch.jit.script(network.eval()).save("scripted.pt")
    assert torch.equal(torch.jit.load("scripted.pt")(inputs), network(inputs))


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
def test_the_gan_s_are_traced_instead():
    """Scripting does not know that labels may be missing; that of the data is fixed by a trace."""
    generator, latents = MLPGenerator(4, [8]).eval(), torch.rand(3, 4)
    with pytest.raises(RuntimeError, match=r"Unknown type name 'nn.Embedding'"):
        torch.jit.script(generator)
    traced = torch.jit.trace(generator, latents)
    assert torch.equal(traced(latents[:2]), generator(latents[:2]))
