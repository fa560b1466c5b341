"""Bounds on the discriminator's weights: clipping, and spectral norm."""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized


@torch.no_grad()
def clip_weights(network: nn.Module, limit: float) -> None:
    """Bounds each weight: Arjovsky et al. 2017, algorithm 1, line 7."""
    for weight in network.parameters():
        weight.clamp_(-limit, limit)


def apply_spectral_norm(network: nn.Module) -> nn.Module:
    """Divides every weight matrix by its largest singular value, in place.

    Miyato et al. 2018, section 2, https://arxiv.org/abs/1802.05957; by torch, with one power
    iteration a pass in training. A convolution's kernel counts as the matrix (outputs, the rest).

    Args:
        network: all its linear, convolutional and embedding layers that have no such norm yet
    """
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding)
    kinds += (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    for layer in list(network.modules()):
        if isinstance(layer, kinds) and not is_parametrized(layer, "weight"):
            if not layer.weight.any():  # a residual block's last layer, to be divided by its norm 0
                nn.init.kaiming_normal_(layer.weight)
            spectral_norm(layer)
    return network
