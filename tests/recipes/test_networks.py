"""The networks' shapes and precision, and what `Frozen` promises of a teacher."""

import pytest
import torch
from torch import nn

from recipes.networks import MLP, ConvNet, Frozen


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
