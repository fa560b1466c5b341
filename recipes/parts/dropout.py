"""Monte-Carlo dropout: dropout as it is in training, with noise of its own, in evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from datamodules.loading.loader import keyed_seed


def dropouts(network: nn.Module) -> list[nn.Module]:
    """The modules of a network that drop anything while training."""
    return [
        module
        for module in network.modules()
        if (isinstance(module, _DropoutNd) and module.p > 0)
        # Recurrent layers, attention and transformers keep theirs as a number.
        or (isinstance(rate := getattr(module, "dropout", 0), float) and rate > 0)
    ]


@contextmanager
def mc_dropout(network: nn.Module, device: torch.device, *key: int) -> Iterator[None]:
    """Within it, dropout of a network in evaluation is on; all else stays as it is.

    The noise is a pure function of the key, and the global generators are left as they were.

    Args:
        network: in evaluation mode
        device: of its inputs
        key: of the noise
    """
    switched = [module for module in dropouts(network) if not module.training]
    cuda = [device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        seed = keyed_seed(*key)
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        for module in switched:
            module.training = True
        try:
            yield
        finally:
            for module in switched:
                module.training = False
