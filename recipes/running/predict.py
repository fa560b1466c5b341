"""The options that `predict` alone has: of what writes predictions, and a recipe's own."""

from collections.abc import Sequence
from inspect import signature

from jsonargparse import Namespace
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningArgumentParser

from callbacks import WritePredictions

METHOD = "prepare_prediction"


def refuse_elsewhere(
    flags: Sequence[str], module: type[LightningModule], parser: LightningArgumentParser
) -> None:
    """Refuses what only `predict` takes.

    Args:
        flags: of another subcommand
        module: the recipe's
        parser: of that subcommand

    Raises:
        ValueError: with the option
    """
    makers = [WritePredictions, getattr(module, METHOD, WritePredictions)]
    names = {name for maker in makers for name in signature(maker).parameters} - {"self"}
    taken = parser._option_string_actions
    for flag in flags:
        option = flag.partition("=")[0]
        name = option.removeprefix("--").partition(".")[0].removesuffix("+")
        if option.startswith("--") and name in names and not taken.keys() & {option, f"--{name}"}:
            raise ValueError(f"{flag}: an option of predict")


class OwnOptions:
    """Adds to the parser of `predict` what no other subcommand has, nor a config or a checkpoint.

    These are the arguments of `WritePredictions` and, where a recipe's module has a method
    `prepare_prediction`, those of that: its types and its docstring are their types and their help.
    The command line calls it before the prediction; the data that it may return are predicted in
    place of the run's.

    Args:
        parser: of `predict`
        module: the recipe's LightningModule
    """

    def __init__(self, parser: LightningArgumentParser, module: type[LightningModule]) -> None:
        self.of_writer = parser.add_class_arguments(WritePredictions, None, instantiate=False)
        self.of_recipe: list[str] = []
        if hasattr(module, METHOD):
            self.of_recipe = parser.add_method_arguments(module, METHOD, None)
        parser.set_defaults(return_predictions=False)  # they are in the table, and may be many

    def take_out_of(self, config: Namespace) -> None:
        """Removes the options from what is the run's config."""
        for name in [*self.of_writer, *self.of_recipe]:
            config.pop(name, None)

    def prepare(self, model: LightningModule, config: Namespace) -> LightningDataModule | None:
        """Gives a recipe its own options; returns the data that it has in place of the run's."""
        if not self.of_recipe:
            return None
        return getattr(model, METHOD)(**{name: config[name] for name in self.of_recipe})

    def writer(self, callbacks: Sequence[Callback], config: Namespace) -> list[Callback]:
        """The callbacks, with a `WritePredictions` of the given options in the place of others."""
        given = {name: config[name] for name in self.of_writer if config[name] is not None}
        if not given:
            return list(callbacks)
        others = [found for found in callbacks if not isinstance(found, WritePredictions)]
        return [*others, WritePredictions(**given)]
