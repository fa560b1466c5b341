"""What is put around a network: `--model.network=recipes.parts.wrappers.large`, or `lora`."""

import torch
from jsonargparse.typing import PositiveFloat, PositiveInt
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from datamodules.loading.splits import Share
from recipes.parts.activation_checkpointing import checkpoint_activations
from recipes.parts.lora import adapt
from recipes.parts.networks import NetworkCallable
from recipes.parts.sharding import COMES


def lora(
    network: NetworkCallable,
    targets: list[str] | str = "*",
    rank: PositiveInt = 8,
    alpha: PositiveFloat | None = None,
    dropout: Share = 0.0,
    trained: list[str] | str = "head",
) -> nn.Module:
    """A network whose weights stand still but for low-rank adapters and its head (Hu et al. 2021).

    The names of its tensors are those without this wrapper, so that `--model.weights` takes the
    same files. The statistics of batch-norm stand still, too. See recipes/parts/lora.py.

    Args:
        network: as without this wrapper; any class_path
        targets: linear and convolutional layers that get an adapter, by patterns as in
            `--model.groups`; all by default but those that are trained in full
        rank: r, of an adapter's two matrices
        alpha: an adapter's output is multiplied by alpha / r; by default r, which multiplies by 1
        dropout: share of an adapter's inputs that are dropped while training, from 0 to below 1
        trained: layers that are trained in full, likewise: the head, of other classes than before

    Raises:
        ValueError: if a pattern matches nothing
    """
    patterns = [[each] if isinstance(each, str) else each for each in (targets, trained)]
    scale = float(rank if alpha is None else alpha)
    return adapt(network(), patterns[0], int(rank), scale, float(dropout), patterns[1])


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
