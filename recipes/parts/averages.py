"""The weights of a checkpoint that its run evaluated: where `EMA` averages a module, the average.

A checkpoint's `state_dict` holds the weights as they are trained, and its callbacks' states the
averages. A file of the weights alone has no states: it holds the averages as its weights, and their
modules' names under the key `averaged`.
"""

from typing import Any

from lightning.pytorch import Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from recipes.parts.checkpoints import read_checkpoint
from recipes.parts.finite import first_diverged

PREFIX = "EMA{"  # of the names of its states


def state_key(module: str) -> str:
    """The name of the state of a module's EMA in a checkpoint."""
    return f"{PREFIX}{module}}}"


def averages(checkpoint: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The states of EMA in a checkpoint, by the name of the module that each averages."""
    states = checkpoint.get("callbacks", {}).items()
    return {key[len(PREFIX) : -1]: state for key, state in states if key.startswith(PREFIX)}


def evaluated_weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The `state_dict` of a checkpoint with each average in the place of the weights.

    Args:
        checkpoint: content of a file that Lightning wrote
    """
    weights = dict(checkpoint.get("state_dict", {}))
    for module, state in averages(checkpoint).items():
        for name, average in state["average"].items():
            if (value := weights.get(f"{module}.{name}")) is not None:
                weights[f"{module}.{name}"] = placed(average, value).to(value.dtype)
    return weights


def read_evaluated(path: str, option: str) -> dict[str, Any]:
    """A checkpoint's content, with the weights that were evaluated as its `state_dict`.

    Args:
        path: of a file; no URL
        option: that the path was given by, for the message

    Raises:
        FileNotFoundError, ValueError: from `read_checkpoint`; ValueError, too, if a weight is not
            finite
    """
    saved = read_checkpoint(path, option)
    saved["state_dict"] = evaluated_weights(saved)
    if name := first_diverged(saved["state_dict"]):
        raise ValueError(f"{option}={path}: {name} is not finite: its training diverged")
    return saved


def save_averages(trainer: Trainer) -> None:
    """From now on a trainer's files of the weights alone hold the averages.

    Lightning asks no callback about such a file.
    """
    connector = trainer._checkpoint_connector
    stock = type(connector).dump_checkpoint  # and not what another EMA has put in its place

    def dump(weights_only: bool | None = None) -> dict[str, Any]:
        checkpoint = stock(connector, weights_only)
        if weights_only:
            own = [c for c in trainer.callbacks if c.state_key.startswith(PREFIX)]
            states = {"callbacks": {callback.state_key: callback.state_dict() for callback in own}}
            checkpoint["averaged"] = [
                m for m, state in averages(states).items() if state["average"]
            ]
            checkpoint["state_dict"] = evaluated_weights(checkpoint | states)
        return checkpoint

    connector.dump_checkpoint = dump


def whole(tensor: Tensor) -> Tensor:
    """A tensor that is no shard."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """A tensor on the device of another, and sharded as that is."""
    if isinstance(like, DTensor) and not isinstance(tensor, DTensor):
        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return tensor.to(like.device)
