"""Sizes of networks that the data know: where the user gives none, they are filled in.

A network's parameters of the names in `WIDTHS` need no value on the command line if they have no
default, or None, or are of the type `Width`. `inputs` is how many values one input has, unless the
network's class says otherwise (`inputs_of`), and `shape` the shape of one; `numbers` and `blocks`
are the data's own, where an embedding has use for them; the others the recipe's module tells
(`widths`). config.yaml and the checkpoints hold the sizes as if they had been given: `filling.py`.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

from jsonargparse import Namespace
from jsonargparse._required import clear_required
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LightningArgumentParser
from torch import nn

from datamodules.loading.data_module import DataModule
from recipes.parts.networks import WIDTHS, Width


class WidthsParser(LightningArgumentParser):
    """A parser for which the sizes of networks are not given until the user gives them.

    Attributes:
        settle: what is done to a config before it is shown
    """

    settle: Callable[[Namespace], object] = staticmethod(lambda config: None)

    def dump(self, cfg: Namespace, **kwargs: Any) -> str:  # noqa: ANN401 - as in jsonargparse
        self.settle(cfg)
        return super().dump(cfg, **kwargs)

    def add_class_arguments(self, theclass: Any, *args: Any, **kwargs: Any) -> list[str]:  # noqa: ANN401
        added = super().add_class_arguments(theclass, *args, **kwargs)
        if inspect.isclass(theclass) and not issubclass(theclass, LightningModule):
            self._open(theclass)
        if inspect.isclass(theclass) and issubclass(theclass, DataModule):
            add_headings(self, theclass.headings)
        return added

    def add_function_arguments(self, function: Any, *args: Any, **kwargs: Any) -> list[str]:  # noqa: ANN401
        added = super().add_function_arguments(function, *args, **kwargs)
        self._open(function)
        return added

    def _open(self, maker: Any) -> None:  # noqa: ANN401 - a class or function
        names = open_names(maker)
        for action in self._actions:
            if action.dest in names:
                clear_required(self, action)
                action.default, action._typehint = None, bare(action._typehint) | None


def add_headings(parser: LightningArgumentParser, headings: dict[str, str]) -> None:
    """Groups the arguments of the class that has been added last, for --help alone.

    Args:
        parser: that they were added to
        headings: to the names of the arguments below each; others stay where they are
    """
    of_class = parser._action_groups[-1]
    for heading, names in headings.items():
        below = [a for a in of_class._group_actions if a.dest.rpartition(".")[2] in names.split()]
        of_class._group_actions = [a for a in of_class._group_actions if a not in below]
        parser.add_argument_group(heading)._group_actions += below


def open_names(maker: Any) -> list[str]:  # noqa: ANN401 - a class or function
    """The parameters of a network's class, or of a function that makes one, that may be filled in.

    Args:
        maker: any class or function; of what makes no network, none are
    """
    init = maker.__init__ if inspect.isclass(maker) else maker
    hints = type_hints(init)
    made = maker if inspect.isclass(maker) else hints.get("return")
    if not inspect.isclass(made) or not issubclass(made, nn.Module):
        return []
    parameters = inspect.signature(init).parameters
    return [
        name
        for name in WIDTHS
        if name in parameters
        and (
            parameters[name].default in (inspect.Parameter.empty, None)
            or has_width(hints.get(name))
        )
    ]


def type_hints(maker: Any) -> dict[str, Any]:  # noqa: ANN401 - a function
    """The types of a function's parameters; none if one of them cannot be found."""
    try:
        return get_type_hints(maker, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def has_width(hint: Any) -> bool:  # noqa: ANN401 - a type
    """Whether a type is `Width`, or made of it."""
    return hint == Width or any(map(has_width, get_args(hint)))


def bare(hint: Any) -> Any:  # noqa: ANN401 - a type
    """A type of which `Width` is a part, without its mark, for --help."""
    if hint == Width:
        return get_args(hint)[0]
    return list[get_args(Width)[0]] if hint == list[Width] else hint
