"""LeNet: its size as published, and its outputs by definition."""

import pytest
import torch
from torch.nn import functional as F

from recipes.parts.lenet import LeNet


def test_it_has_as_many_weights_as_published():
    """Han et al. 2015, of LeNet-5 layer by layer: 0.5K, 25K, 400K and 5K."""
    weights = [weight for weight in LeNet([1, 28, 28]).parameters() if weight.ndim > 1]
    assert [weight.numel() for weight in weights] == [500, 25_000, 400_000, 5_000]


def test_outputs_are_those_of_the_definition():
    torch.manual_seed(0)
    network, pictures = LeNet([3, 30, 24], 7, [4, 6], 9), torch.randn(5, 3, 30, 24)
    conv1, bias1, conv2, bias2, linear, bias3, head, bias4 = network.parameters()
    first = F.conv2d(pictures, conv1, bias1).unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
    second = F.conv2d(first, conv2, bias2).unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
    hidden = (second.flatten(1) @ linear.T + bias3).clamp(min=0)
    torch.testing.assert_close(network(pictures), hidden @ head.T + bias4)


def test_what_is_too_small_or_no_image_is_named():
    with pytest.raises(ValueError, match=r"shape \[10\] is of rows, not of images"):
        LeNet([10])
    with pytest.raises(ValueError, match=r"shape \[1, 12, 12\] is too small for 2 layers"):
        LeNet([1, 12, 12])
    with pytest.raises(ValueError, match=r"channels=\[\]: give at least one layer"):
        LeNet([1, 28, 28], channels=[])
