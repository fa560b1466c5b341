"""Generators and discriminators: MLPs for points, DCGAN and a norm-free ResNet for images.

Generators for images end in tanh, as images are in [-1, 1] within the game; those for points end
linearly. Discriminators give one unbounded number, from a last layer that stays in float32 under
mixed precision. With `classes` both are conditional: a generator is given an embedding of the label
beside the latent, a discriminator adds the inner product of the label's embedding and its features
(projection: Miyato & Koyama 2018, equation 3, https://arxiv.org/abs/1802.05637).
"""

from recipes.gan.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from recipes.gan.networks.mlp import MLPDiscriminator, MLPGenerator
from recipes.gan.networks.resnet import ResNetDiscriminator, ResNetGenerator

__all__ = [
    "DCGANDiscriminator",
    "DCGANGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "ResNetDiscriminator",
    "ResNetGenerator",
]
