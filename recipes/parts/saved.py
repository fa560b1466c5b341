"""The network of a classifier's checkpoint, made and loaded."""

from typing import Any

from jsonargparse import ArgumentError, ArgumentParser
from torch import nn

from recipes.parts.checkpoints import named_beside
from recipes.parts.trust import Trust


def saved_network(saved: dict[str, Any], path: str, option: str, other: str) -> nn.Module:
    """The network that a checkpoint of recipes.classify says it holds, newly made.

    Args:
        saved: the checkpoint's content
        path: of the checkpoint; where it lies in a run's folder, it may name what the config.yaml
            there names
        option: that the path was given by
        other: option that names a network instead

    Raises:
        ValueError: if the checkpoint names no network, one that it may not name, or one that cannot
            be made
    """
    settings = saved.get("hyper_parameters", {}).get("network")
    if not isinstance(settings, dict):
        raise ValueError(f"{option}={path} does not say its network: give {other}")
    section, _, name = other.removeprefix("--").rpartition(".")
    trust = Trust(f"{option}={path}", named_beside(path))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument(f"--{name}", type=nn.Module)
    permitted = trust.permitted({name: settings}, section)
    try:
        return parser.instantiate(parser.parse_object(permitted))[name]
    except (ArgumentError, TypeError, ValueError) as error:
        raise ValueError(f"{option}={path}: its network cannot be made: {error}") from error


def load_network(network: nn.Module, saved: dict[str, Any]) -> nn.Module:
    """Gives a network the weights that a checkpoint of recipes.classify has for it.

    Raises:
        RuntimeError: if they do not fit
    """
    weights = {k.removeprefix("network."): v for k, v in saved.get("state_dict", {}).items()}
    network.load_state_dict(weights)
    return network
