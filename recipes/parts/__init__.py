"""What a recipe's module is made of; the names that a recipe of your own may need are here."""

from importlib import import_module

# Imported when they are asked for: the tools that compare runs have no use for torch.
_HOMES = {
    "ConvNet": "networks",
    "Frozen": "networks",
    "LinearModel": "networks",
    "MLP": "networks",
    "NetworkCallable": "networks",
    "backward": "stepping",
    "clip_groups": "clipping",
    "count_steps_of": "stepping",
    "distribute": "sharding",
    "evaluating": "networks",
    "log_count": "logs",
    "log_means": "logs",
    "log_terms": "logs",
    "save_hyperparameters": "hyperparameters",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
