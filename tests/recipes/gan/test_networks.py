"""The GAN's networks: shapes, sizes of signals at the start, classes, and spectral norms."""

import math

import pytest
import torch
from torch import nn

from recipes.gan.constraints import apply_spectral_norm
from recipes.gan.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)
from recipes.gan.networks.resnet import ResidualBlock

GENERATORS = [
    (MLPGenerator, {"widths": [64, 64]}),
    (DCGANGenerator, {"channels": [32, 16]}),
    (DCGANGenerator, {"channels": [32, 16], "batch_norm": False}),
    (ResNetGenerator, {"channels": [32, 32, 16]}),
]
DISCRIMINATORS = [
    (MLPDiscriminator, {"widths": [64, 64]}),
    (DCGANDiscriminator, {"channels": [16, 32]}),
    (DCGANDiscriminator, {"channels": [16, 32], "batch_norm": False}),
    (ResNetDiscriminator, {"channels": [16, 32, 32]}),
]
SHAPES = [(1, 28, 28), (3, 32, 32)]


def made(kind, options, shape, **more):
    torch.manual_seed(0)
    place = {"inputs": math.prod(shape)} if kind is MLPDiscriminator else {"shape": list(shape)}
    return kind(**options, **place, **more)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("kind", "options"), GENERATORS)
def test_generators_make_images_that_depend_on_each_latent(kind, options, shape):
    network = made(kind, options, shape, latent=16)
    latents = torch.randn(64, 16)
    images = network.eval()(latents)
    assert images.shape == (64, *shape)
    assert images.abs().max() <= 1
    changed = latents.clone()
    changed[3] += 1
    is_other = (network(changed) != images).flatten(1).any(1)
    assert is_other.tolist() == [number == 3 for number in range(64)]


@pytest.mark.parametrize("pack", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("kind", "options"), DISCRIMINATORS)
def test_discriminators_give_a_number_that_depends_on_each_pixel(kind, options, shape, pack):
    network = made(kind, options, shape, pack=pack).eval()
    images = torch.randn(4, pack * shape[0], *shape[1:], requires_grad=True)
    numbers = network(images)
    assert numbers.shape == (4, 1)
    (gradient,) = torch.autograd.grad(numbers[0].sum(), images)
    assert (gradient[0] != 0).all() and not gradient[1:].any()


def test_points_are_unbounded():
    torch.manual_seed(0)
    points = MLPGenerator(2, [32, 32])(100 * torch.randn(50, 2))
    assert points.shape == (50, 2) and points.abs().max() > 10


@pytest.mark.parametrize(("kind", "options"), [GENERATORS[n] for n in (0, 2, 3)])
def test_a_norm_free_generator_starts_with_the_size_of_its_latents(kind, options):
    """Not so with DCGAN's weights, which count on batch-norm: they are the negative control."""
    sizes = []
    for network in (made(kind, options, (1, 28, 28), latent=64), stale(kind, options)):
        tanh = [layer for layer in network.modules() if isinstance(layer, nn.Tanh)]
        seen = []
        if tanh:
            tanh[0].register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        output = network(torch.randn(256, 64))
        sizes.append((seen[0] if seen else output.atanh()).std().item())
    assert 0.3 < sizes[0] < 2
    assert sizes[1] < 0.1


def stale(kind, options):
    """With all weights N(0, 0.02)."""
    network = made(kind, options, (1, 28, 28), latent=64)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.02)
    return network


@pytest.mark.parametrize(("kind", "options"), [DISCRIMINATORS[n] for n in (0, 2, 3)])
def test_a_norm_free_discriminator_starts_with_the_size_of_its_images(kind, options):
    network = made(kind, options, (1, 28, 28))
    images = torch.randn(256, 1, 7, 7).repeat_interleave(4, 2).repeat_interleave(4, 3)  # smooth
    assert 0.2 < network(images).std() < 3


def test_the_signal_stays_within_a_transposed_convolution():
    """Each of its outputs is of a quarter of the kernel, as the stride is 2."""
    torch.manual_seed(0)
    network = DCGANGenerator(512, channels=[256, 128], batch_norm=False)
    hidden = network.layers[:4](torch.randn(64, 512))  # before the second ReLU
    assert hidden.square().mean().item() == pytest.approx(2, rel=0.2)  # ReLU will halve it


def test_dcgan_weights_are_the_paper_s():
    torch.manual_seed(0)
    network = DCGANGenerator(100, channels=[128, 64])
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.ConvTranspose2d)):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert not layer.bias.any()
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.01)
            assert layer.eps == 1e-5  # not the 0.8 that is often seen


def test_a_residual_block_begins_as_the_identity():
    torch.manual_seed(0)
    block, images = ResidualBlock(8, blocks=3), torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(block(images), images, rtol=0, atol=0)
    block(images).sum().backward()
    assert block.second.weight.grad.any() and not block.first.weight.grad.any()


@pytest.mark.parametrize(("kind", "options"), GENERATORS)
def test_a_conditional_generator_makes_other_images_by_class(kind, options):
    network = made(kind, options, (1, 28, 28), latent=16, classes=3).eval()
    latent = torch.randn(1, 16).expand(3, -1)
    one, two, three = network(latent, torch.tensor([0, 2, 2]))
    torch.testing.assert_close(two, three)
    assert not torch.allclose(one, two)
    with pytest.raises(ValueError, match=r"classes if --model\.classes"):
        network(latent)


@pytest.mark.parametrize(("kind", "options"), DISCRIMINATORS)
def test_a_conditional_discriminator_adds_the_inner_product_of_label_and_features(kind, options):
    network = made(kind, options, (1, 28, 28), classes=3).eval()
    features = []
    network.critic.head.register_forward_hook(lambda _, inputs, __: features.append(inputs[0]))
    image = torch.randn(1, 1, 28, 28).expand(3, -1, -1, -1)
    numbers = network(image, torch.arange(3)).flatten()
    plain = network.critic.head(features[0]).flatten()
    expected = plain + network.critic.embedding.weight @ features[0][0]
    torch.testing.assert_close(numbers, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"classes if --model\.classes"):
        network(image)


@pytest.mark.parametrize("kind", [DCGANGenerator, DCGANDiscriminator, ResNetDiscriminator])
def test_shapes_that_cannot_be_halved_are_refused(kind):
    latent = {"latent": 8} if kind is DCGANGenerator else {}
    with pytest.raises(ValueError, match=r"\[1, 28, 28\] cannot be halved 3 times"):
        kind(**latent, channels=[4] * (4 if kind is ResNetDiscriminator else 3))
    with pytest.raises(ValueError, match="square"):
        kind(**latent, shape=[1, 28, 14])


@pytest.mark.parametrize(("kind", "options"), DISCRIMINATORS)
def test_spectral_norms_become_one(kind, options):
    network = made(kind, options, (1, 28, 28), classes=3)
    assert apply_spectral_norm(network) is network
    names = [name for name, _ in weighted(network)]
    assert "critic.head" in names and "critic.embedding" in names
    images, labels = torch.randn(2, 1, 28, 28), torch.tensor([0, 1])
    for _ in range(300):  # a power iteration each
        with torch.no_grad():
            [layer.weight for _, layer in weighted(network)]
    network(images, labels)
    for name, layer in weighted(network):
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
        assert largest == pytest.approx(1, abs=0.01), name
    apply_spectral_norm(network)  # a second time changes nothing
    assert all(len(layer.parametrizations.weight) == 1 for _, layer in weighted(network))


def weighted(network):
    return [
        (name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.Embedding))
    ]
