"""Fills in the sizes of networks that the user does not give, from the data: see `widths.py`."""

import math
from collections.abc import Collection, Iterator
from typing import Any

import yaml
from jsonargparse import Namespace
from jsonargparse._util import import_object
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, _InstantiatorFn
from lightning.pytorch.utilities import rank_zero_info

from recipes.parts.networks import NetworkCallable
from recipes.running.classes import own_arguments, short
from recipes.running.widths import open_names, type_hints

# For which parameter a network has these sizes; without it they are not filled in.
USES = {"numbers": "embedding", "blocks": "category_width"}
Known = dict[str, Any]  # sizes by the parameter's name


def missing(
    config: Any,  # noqa: ANN401 - whatever a setting may be
    key: str,
    lapsed: Collection[str] = (),
) -> Iterator[tuple[str, Namespace, list[str]]]:
    """The networks in a config of which sizes are not given.

    Args:
        config: a part of it
        key: of that part, such as `model`
        lapsed: keys of sizes that are given, but not for this

    Yields:
        the network's key, its class_path and init_args, and the names of these sizes
    """
    if isinstance(config, (list, tuple)):
        for item in config:
            yield from missing(item, key, lapsed)
    if not isinstance(config, (dict, Namespace)):
        return
    items = dict(config.items() if isinstance(config, dict) else vars(config))
    given = items.get("init_args")
    if isinstance(items.get("class_path"), str) and isinstance(given, Namespace):
        names = [
            name
            for name in open_names(import_object(items["class_path"]))
            if (given.get(name) is None or f"{key}.{name}" in lapsed)
            # Without an embedding a network does not care what its inputs are.
            and (name not in USES or given.get(USES[name], True) is not None)
        ]
        if names:
            yield key, config, names
        items = vars(given)
    for name, item in items.items():
        yield from missing(item, f"{key}.{name}", lapsed)


def fill(
    config: Namespace,
    module: type[LightningModule],
    data: LightningDataModule | None,
    lapsed: Collection[str] = (),
) -> None:
    """Fills in the sizes that are not given, in place.

    Those of a network that is an argument of the recipe's are what the data need, as far as they
    tell; otherwise, and within other networks, they are the defaults of the class.

    Args:
        config: of a subcommand
        module: the recipe's
        data: set up, if there are such
        lapsed: as in `missing`; they stay where the data do not tell, and a change is noted

    Raises:
        ValueError: naming the options that are still to be given
    """
    for key, spec, names in list(missing(config.model, "model", lapsed)):
        made = import_object(spec.class_path)
        is_outer = unwrapped(key.split(".")[1:], config.model) in ([], ["networks"])
        known = of_data(made, config.model, module, data) if is_outer else {}
        before = {k: v for k, v in vars(spec.init_args).items() if v is not None}
        known = {k: v for k, v in known.items() if v is not None}
        known = own_arguments(spec.class_path) | before | known
        if needed := [f"--{key}.{name}" for name in names if name not in known]:
            raise ValueError(f"--{key}={short(spec.class_path)} needs {', '.join(needed)}")
        for name in names:
            if name in before and before[name] != known[name]:
                rank_zero_info(
                    f"note: --{key}.{name}={known[name]}, not the config's {before[name]}"
                )
            spec.init_args[name] = known[name]


def unwrapped(path: list[str], config: Namespace) -> list[str]:
    """The way to a network, without its own name; to one in a wrapper, the way to the wrapper.

    Args:
        path: names in the config, from its top to the network
        config: of the recipe's module
    """
    *way, name = path
    for step in way:
        config = (config.get("init_args") or config)[step]
        if not isinstance(config, Namespace):  # a list
            return way
    made = import_object(config.class_path) if way and "class_path" in config else None
    if made is not None and type_hints(made).get(name) == NetworkCallable:
        return unwrapped(way, config)
    return way


def fill_data(data: Namespace | None, module: type[LightningModule]) -> None:
    """Gives data what the recipe says of them (`data_arguments`), where the user says nothing.

    Args:
        data: their class_path and init_args, if there are any; changed in place
        module: the recipe's
    """
    given = (data or Namespace()).get("init_args") or Namespace()
    for name, value in getattr(module, "data_arguments", {}).items():
        if name in given and given[name] is None:
            given[name] = value


def of_data(
    made: Any,  # noqa: ANN401 - a class or function
    arguments: Namespace,
    module: type[LightningModule],
    data: LightningDataModule | None,
) -> Known:
    """The sizes that a recipe's network needs for some data, as far as they tell.

    Args:
        made: the network's class
        arguments: of the recipe's module
        module: the recipe's
        data: set up
    """
    shape = getattr(data, "input_shape", None)
    if shape is None:
        return {}
    count = getattr(made, "inputs_of", math.prod)
    known: Known = {"inputs": int(count(shape)), "shape": list(shape)}
    known |= {name: getattr(data, name, None) for name in USES}
    known |= {"context": getattr(data, "max_length", None)}  # of texts
    if (vocabulary := getattr(data, "vocabulary", None)) is not None:
        known |= {"vocabulary": len(vocabulary)}
    return known | (module.widths(arguments, data) if hasattr(module, "widths") else {})


def early_data(
    cli: LightningCLI, chosen: Namespace | None, fetches: bool = True
) -> LightningDataModule | None:
    """The data of a command line, set up to fit before there is a trainer.

    Args:
        cli: that they are of; its `config_dump` becomes what they keep as hyperparameters
        chosen: their class_path and init_args
        fetches: whether they may be downloaded

    Returns:
        None if there are none, or if they cannot be set up without a trainer

    Raises:
        ValueError, OSError: if the data are wrong or are not there
    """
    if not chosen:
        return None
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    parser.add_instantiator(_InstantiatorFn(cli=cli, key="data"), LightningDataModule)
    config = Namespace(data=chosen)
    dumped = parser.dump(config, skip_unset=False, skip_validation=True)
    cli.config_dump = yaml.safe_load(dumped)
    data = parser.instantiate_classes(config).data
    try:
        if fetches:
            data.prepare_data()
        elif not getattr(data, "is_here", True):
            raise FileNotFoundError("--data has not been downloaded yet")
        data.setup("fit")
    except (ValueError, OSError):
        raise
    except Exception:  # of a user's own, which fails again, or does not, when there is a trainer
        return None
    return data
