"""What the command line knows of a recipe: its class, its name, its configs, how it is started.

A recipe is a package with a `__main__.py` (such as `recipes.distill`, or one of your own), or a
single file. It imports nothing that takes long.
"""

import inspect
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from recipes.running.flags import pairs

if TYPE_CHECKING:  # seconds
    from lightning.pytorch import LightningModule

SHIPPED = Path(__file__).resolve().parents[1]
SEARCH_SPACE = "sweep"  # a recipe's, beside its configs
# The same package under its old name has other classes.
OLD, PRESENT = "pytorch_lightning", "import lightning.pytorch as pl, its present name"
# Of a recipe that ships several configs, the first of these is what runs without --config.
DEFAULTS = ("digits", "diabetes", "shakespeare", "cart_pole", "default")


def recipe_names() -> list[str]:
    """The names of this project's recipes: packages with a module.py."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/module.py"))


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        module: its LightningModule
        name: of the folder that its runs are in, and of W&B's group
        folder: where its file or package is
        is_package: whether it is a package, whose folder holds its configs
        target: what Python runs: `-m recipes.distill`, or the path of a file
    """

    module: "type[LightningModule]"
    name: str
    folder: Path
    is_package: bool
    target: tuple[str, ...]

    @classmethod
    def of(cls, module: "type[LightningModule]") -> "Recipe":
        """The recipe that a LightningModule is of, told from where its class is defined."""
        full = module.__module__
        if full == "__main__":
            spec = sys.modules["__main__"].__spec__
            full = spec.name if spec else ""  # none of a script
        try:
            file = Path(inspect.getfile(module)).resolve()
            if not file.is_file():  # python - < my_vae.py
                raise OSError(file)
        except (TypeError, OSError):  # of a notebook
            return cls(module, module.__name__.lower(), Path().resolve(), False, ())
        if full and (file.parent / "__main__.py").is_file():
            package = full.rpartition(".")[0]
            return cls(module, file.parent.name, file.parent, True, ("-m", package))
        target = ("-m", full) if full else (sys.argv[0],)
        return cls(module, file.stem, file.parent, False, target)

    @property
    def packages(self) -> tuple[str, ...]:
        """The prefix of what its package or file defines, such as `lab.vae.`."""
        package = self.target[-1] if self.is_package else self.module.__module__
        return (f"{package}.",)

    @property
    def card(self) -> str | None:
        """What `--help` says of it: the docstring of its package or file, or of its class."""
        module = sys.modules[self.module.__module__]
        package = sys.modules.get(self.target[-1]) if self.is_package else None
        return (package or module).__doc__ or self.module.__doc__

    @property
    def configs(self) -> dict[str, Path]:
        """Those that it ships, by their bare names; of a single file, the one of its name."""
        pattern = "*.yaml" if self.is_package else f"{self.name}.yaml"
        return {p.stem: p for p in sorted(self.folder.glob(pattern)) if p.stem != SEARCH_SPACE}

    @property
    def default(self) -> Path | None:
        """The config that runs without --config, if it ships one."""
        configs = self.configs
        if len(configs) == 1:
            return next(iter(configs.values()))
        return next((configs[name] for name in DEFAULTS if name in configs), None)

    @property
    def sweep(self) -> Path:
        """The search space that it ships, whether it is there or not."""
        return self.folder / f"{SEARCH_SPACE}.yaml"

    def typed(self, command: Sequence[str]) -> str:
        """What was typed to start it with some arguments."""
        return shlex.join(["python", *self.target, *command])


def data_name(flags: Sequence[str]) -> str | None:
    """What runs on data of one's own are called: the name of the file or folder of --data.path.

    Args:
        flags: of a command line

    Returns:
        None without such a flag, or if nothing of the path is left as a name
    """
    for key, text in pairs(flags):
        if key in ("data.path", "data.init_args.path"):
            path = PurePath(urlsplit(text).path)
            parts = [part.split(".")[0] for part in (path.name, path.parent.name)]  # rows.csv.gz
            return next((part for part in parts if re.fullmatch(r"[\w-]+", part)), None)
    return None


def find_recipe(name: str) -> Recipe:
    """A recipe by its name.

    Args:
        name: of a recipe of this project; or of a module that Python finds, such as `lab.vae`,
            whose LightningModule is the first name in `__all__`, or the only one defined there

    Raises:
        ValueError: if there is no such recipe; it lists this project's
    """
    if name in recipe_names():
        name = f"recipes.{name}"
    try:
        module = import_module(name)
    except (ModuleNotFoundError, TypeError, ValueError) as error:  # also of "" and ".vae"
        is_other = isinstance(error, ModuleNotFoundError) and error.name
        if is_other and not f"{name}.".startswith(f"{error.name}."):
            raise
        known = ", ".join(recipe_names())
        raise ValueError(
            f"--recipe={name}: the recipes are {known}; your own is named by its module, lab.vae"
        ) from error
    return Recipe.of(module_of(module, name))


def is_old(made: object) -> bool:
    """Whether a class is of pytorch_lightning, by which the present Lightning's knows it not."""
    parents = getattr(made, "__mro__", ())
    return any(parent.__module__.partition(".")[0] == OLD for parent in parents)


def module_of(module: object, name: str) -> "type[LightningModule]":
    """The LightningModule of a recipe's package or file.

    Raises:
        ValueError: if it does not say which one
    """
    from lightning.pytorch import LightningModule

    if public := getattr(module, "__all__", None):
        return getattr(module, public[0])
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, LightningModule)
        and f"{value.__module__}.".startswith(f"{name}.")
    ]
    if not found and (old := [value for value in vars(module).values() if is_old(value)]):
        raise ValueError(f"--recipe={name}: {old[-1].__name__} is of {OLD}: {PRESENT}")
    if len(found) != 1:
        names = ", ".join(value.__name__ for value in found) or "none"
        raise ValueError(
            f"--recipe={name} defines {len(found)} LightningModules ({names}): say which one in "
            "__all__"
        )
    return found[0]


def start_as(recipe: Recipe, command: Sequence[str]) -> None:
    """Makes this process look as if it had been started for a recipe with some arguments.

    Lightning's ddp starts the further processes by what it finds there.
    """
    sys.argv = [recipe.target[-1], *command]
    spec = find_spec(recipe.target[-1])
    if spec is not None and spec.submodule_search_locations is not None:  # a package
        spec = find_spec(f"{recipe.target[-1]}.__main__")
    sys.modules["__main__"].__spec__ = spec
