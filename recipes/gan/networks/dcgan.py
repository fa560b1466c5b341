"""DCGAN: strided convolutions. Radford et al. 2016, https://arxiv.org/abs/1511.06434."""

from itertools import pairwise

from jsonargparse.typing import PositiveInt
from torch import Tensor, nn

from recipes.gan.networks.parts import SLOPE, Critic, Latent, initialise
from recipes.parts.networks import Width, check_layers, smallest_size


def initialise_dcgan(network: nn.Module) -> None:
    """Radford et al. 2016, section 4: weights N(0, 0.02), scales of batch-norm N(1, 0.02)."""
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)


class DCGANGenerator(nn.Module):
    """Transposed convolutions that double the image: Radford et al. 2016, section 3.

    Args:
        latent: values in a latent
        shape: of an image, [channels, height, width]
        channels: of the feature map before each doubling, from the smallest on
        batch_norm: put batch-norm before each ReLU; without it, weights start as by He et al. 2015
        classes: number of labels, for generation by class
    """

    def __init__(
        self,
        latent: Width,
        shape: list[Width] = [1, 28, 28],  # noqa: B006 - never changed
        channels: list[PositiveInt] = [128, 64],  # noqa: B006
        batch_norm: bool = True,
        classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        check_layers("channels", channels)
        start = smallest_size(shape, len(channels))
        self.latent = Latent(latent, classes)
        layers: list[nn.Module] = [
            nn.Linear(self.latent.size, channels[0] * start**2),
            nn.Unflatten(1, (channels[0], start, start)),
        ]
        for fan_in, fan_out in pairwise([*channels, shape[0]]):
            layers += [nn.BatchNorm2d(fan_in)] if batch_norm else []
            layers += [nn.ReLU(), nn.ConvTranspose2d(fan_in, fan_out, 4, 2, 1)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        initialise_dcgan(self) if batch_norm else initialise(self.layers, 0.0)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.latent(latents, labels))


class DCGANDiscriminator(nn.Module):
    """Strided convolutions that halve the image: Radford et al. 2016, section 3.

    Args:
        shape: of an image, [channels, height, width]
        channels: of the feature map after each halving
        batch_norm: put batch-norm before each leaky ReLU but the first; without it, weights start
            as by He et al. 2015
        pack: images that it sees at a time
        classes: number of labels, for generation by class
    """

    def __init__(
        self,
        shape: list[Width] = [1, 28, 28],  # noqa: B006 - never changed
        channels: list[PositiveInt] = [64, 128],  # noqa: B006
        batch_norm: bool = True,
        pack: PositiveInt = 1,
        classes: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        check_layers("channels", channels)
        end = smallest_size(shape, len(channels))
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([pack * shape[0], *channels]):
            layers.append(nn.Conv2d(fan_in, fan_out, 4, 2, 1))
            layers += [nn.BatchNorm2d(fan_out)] if batch_norm and len(layers) > 1 else []
            layers.append(nn.LeakyReLU(SLOPE))
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.critic = Critic(channels[-1] * end**2, classes)
        initialise_dcgan(self) if batch_norm else initialise(self, SLOPE)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.critic(self.layers(images), labels)
