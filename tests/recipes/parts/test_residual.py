"""Residual networks: their sizes as published, and their outputs by definition."""

import pytest
import torch
from torch.nn import functional as F

from recipes.parts.evaluation.extractor import Extractor
from recipes.parts.residual import CIFARResNet, ResNet18

OF_DISTILLATION = {"outputs": 100, "shortcut": "projection"}
# Weights, in the papers in millions, by others' code one by one (see the references below).
SIZES = [
    (CIFARResNet, {}, 269_722),  # He et al. 2016, table 6: 0.27 M
    (CIFARResNet, {"depth": 56}, 853_018),  # 0.85 M
    (CIFARResNet, {"depth": 110}, 1_727_962),  # 1.7 M
    (CIFARResNet, OF_DISTILLATION, 278_324),  # Tian et al. 2020, as below
    (CIFARResNet, OF_DISTILLATION | {"depth": 56}, 861_620),
    (CIFARResNet, OF_DISTILLATION | {"depth": 8, "width": 4, "stem": 32}, 1_233_540),
    (CIFARResNet, OF_DISTILLATION | {"depth": 32, "width": 4, "stem": 32}, 7_433_860),
    (ResNet18, {"outputs": 1000}, 11_689_512),  # torchvision's resnet18
    (ResNet18, {"outputs": 10, "stem": "3x3"}, 11_173_962),
]


@pytest.mark.parametrize(("kind", "options", "size"), SIZES)
def test_they_have_as_many_weights_as_published(kind, options, size):
    with torch.device("meta"):
        network = kind(**options)
    assert sum(weight.numel() for weight in network.parameters()) == size


def by_definition(state, pictures, stages, blocks, stem, shortcut):
    """He et al. 2016, with the weights by their names alone, in evaluation mode."""

    def norm(name, x):
        mean, var, weight, bias = (
            state[f"{name}.{part}"].view(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    x = F.conv2d(pictures, state["conv1.weight"], stride=stem[0], padding=stem[1])
    x = norm("bn1", x).clamp(min=0)
    if stem[0] == 2:
        x = F.max_pool2d(x, 3, 2, 1)
    for stage in range(1, stages + 1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            y = norm(f"{name}.bn1", y).clamp(min=0)
            y = norm(f"{name}.bn2", F.conv2d(y, state[f"{name}.conv2.weight"], padding=1))
            if f"{name}.downsample.0.weight" in state:
                x = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
                x = norm(f"{name}.downsample.1", x)
            elif stride > 1:
                assert shortcut == "pad"
                half = torch.zeros_like(x[:, : x.shape[1] // 2, ::2, ::2])
                x = torch.cat([half, x[:, :, ::2, ::2], half], 1)
            x = (x + y).clamp(min=0)
    return x.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]


CASES = [
    (CIFARResNet, {"depth": 14}, 32, (3, 2, (1, 1), "pad")),
    (CIFARResNet, {"depth": 14, "shortcut": "projection"}, 32, (3, 2, (1, 1), "projection")),
    (CIFARResNet, {"depth": 8, "width": 2, "stem": 32}, 33, (3, 1, (1, 1), "pad")),
    (ResNet18, {"width": 8, "stem": "3x3"}, 32, (4, 2, (1, 1), "projection")),
    (ResNet18, {"width": 8}, 64, (4, 2, (2, 3), "projection")),
]


@pytest.mark.parametrize(("kind", "options", "size", "shape"), CASES)
def test_the_output_is_the_definition_s(kind, options, size, shape):
    torch.manual_seed(0)
    network = kind(outputs=7, **options).eval()
    for name, value in network.state_dict().items():
        if value.is_floating_point() and ("bn" in name or "downsample.1" in name):
            value.uniform_(0.5, 1.5)
    pictures = torch.rand(3, 3, size, size)
    with torch.no_grad():
        found = network(pictures)
        expected = by_definition(network.state_dict(), pictures, *shape)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(network.head(network.features(pictures)), found)
        last = network.to(memory_format=torch.channels_last)(pictures)
    torch.testing.assert_close(last, found, rtol=1e-4, atol=1e-4)


def test_a_depth_that_is_none_is_refused():
    for depth in (2, 18, 21):
        with pytest.raises(ValueError, match=rf"CIFARResNet's depth={depth}: 6n \+ 2, as 8"):
            CIFARResNet(depth)


def test_under_mixed_precision_the_last_layer_is_in_float32():
    network = CIFARResNet(8)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.rand(2, 3, 32, 32)).dtype == torch.float32


@pytest.mark.parametrize("kind", [CIFARResNet, ResNet18])
def test_it_is_named_in_short_and_it_is_an_extractor_s_classifier(recipe, kind):
    small = {CIFARResNet: ("--model.network.depth=8",), ResNet18: ("--model.network.width=4",)}
    flags = (f"--model.network={kind.__name__}", "--model.network.inputs=1", *small[kind])
    short = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=2")
    channels_last = "--trainer.callbacks+=ChannelsLast"
    recipe("classify", "fit", "--name=a", *flags, *short, channels_last)
    extractor = Extractor("runs/classify/a/checkpoints/last.ckpt")
    features, logits = extractor(torch.rand(2, 1, 8, 8))
    assert logits.shape == (2, 10) and features.shape[1] == {CIFARResNet: 64, ResNet18: 32}[kind]
