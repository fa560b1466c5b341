"""What is put around a network: `--model.network=recipes.parts.wrappers.large`."""

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from recipes.parts.activation_checkpointing import checkpoint_activations
from recipes.parts.networks import NetworkCallable
from recipes.parts.sharding import COMES


def large(network: NetworkCallable, activation_checkpointing: bool = True) -> nn.Module:
    """A network that only the first process makes, for those that do not fit the host n times.

    The others are sent it layer by layer in `configure_model`, and keep their shard of it.

    Args:
        network: as without this wrapper; any class_path
        activation_checkpointing: keep only some of the activations for the backward pass and
            compute the others again, for about a third more time (see activation_checkpointing.py)
    """
    with torch.device("cpu" if rank_zero_only.rank == 0 else "meta"):
        made = network()
    setattr(made, COMES, True)
    return checkpoint_activations(made) if activation_checkpointing else made
