"""What the networks share: the conditional first and last layer, and initial weights."""

import math

import torch
from torch import Tensor, nn

from recipes.parts.conditional import check_labels
from recipes.parts.networks import Head

SLOPE = 0.2  # of leaky ReLU below zero, in all discriminators


class Latent(nn.Module):
    """A generator's input: the latent, and with classes an embedding of the label behind it.

    Args:
        latent: values in a latent
        classes: number of labels; None: the latent alone

    Attributes:
        size: values in the input
    """

    def __init__(self, latent: int, classes: int | None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, latent) if classes else None
        self.size = 2 * latent if classes else latent

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        check_labels(self.embedding, labels)
        if self.embedding is None:
            return latents
        return torch.cat([latents, self.embedding(labels).to(latents.dtype)], 1)


class Critic(nn.Module):
    """A discriminator's last layer: features (batch, features), and labels, to (batch, 1).

    Args:
        features: values that it is given for an example
        classes: number of labels; None: no label counts
    """

    def __init__(self, features: int, classes: int | None) -> None:
        super().__init__()
        self.head = Head(features, 1)
        self.embedding = nn.Embedding(classes, features) if classes else None

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        check_labels(self.embedding, labels)
        output = self.head(features)
        if self.embedding is None:
            return output
        with torch.autocast(features.device.type, enabled=False):
            label = self.embedding(labels)
            return output + (label * features.to(label.dtype)).sum(1, keepdim=True)


def initialise(network: nn.Module, slope: float) -> None:
    """Initialises a network so that activations keep their variance; biases become 0.

    He et al. 2015, equation 15, https://arxiv.org/abs/1502.01852

    Args:
        network: its linear and convolutional layers are set
        slope: of the leaky ReLU below zero; 0 for ReLU, 1 for layers without activation
    """
    gain = nn.init.calculate_gain("leaky_relu", slope)
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            inputs = layer.weight[0].numel()  # that one output is the sum of
            if isinstance(layer, nn.ConvTranspose2d):  # a pixel sees every stride-th kernel weight
                inputs = layer.weight[:, 0].numel() / math.prod(layer.stride)
            nn.init.normal_(layer.weight, 0.0, gain * inputs**-0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
