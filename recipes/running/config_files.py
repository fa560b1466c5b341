"""Config files: which are meant, and what is in them, read as strictly as flags are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from recipes.running.recipe import SHIPPED, Recipe, data_name

HARDWARE = SHIPPED / "hardware"
SECTIONS = ("trainer", "model")  # whose settings are named one by one


class StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML in which no key of a mapping is there twice; of two, YAML's own loader drops one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise ValueError(
                    f"{key.value} is there twice, in lines {seen[key.value]} and {line}"
                )
            seen[str(key.value)] = line
        return super().construct_mapping(node, deep)


def read_config_file(name: str) -> dict[str, Any]:
    """The settings in a config file.

    Args:
        name: of the file, as it was given by --config

    Raises:
        ValueError: naming the file, if it is not YAML, holds a key twice, or a section that is no
            mapping
    """
    try:
        settings = yaml.load(Path(name).read_text(encoding="utf-8"), StrictLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f": line {mark.line + 1}: {error.problem}" if mark else ""
        raise ValueError(f"--config={name} is not a YAML file of settings{where}") from error
    except ValueError as error:
        raise ValueError(f"--config={name}: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"--config={name} is not a YAML file of settings")
    for section in SECTIONS:
        if section in settings and not isinstance(settings[section], dict):
            given = settings[section]
            what = "is empty: leave it out" if given is None else f"is {given!r}, not settings"
            raise ValueError(f"--config={name}: {section} {what}")
    return settings


def choose_recipe(configs: Sequence[str]) -> bool:
    """Whether any of some configs, by their paths, is no overlay."""
    return any(Path(path).resolve().parent != HARDWARE for path in configs)


def config_name(configs: Sequence[str], flags: Sequence[str], recipe: Recipe) -> str:
    """What runs of these settings are called.

    The configs' names, joined by dashes; where none but overlays are given, before them the name of
    the file or folder of --data.path, or without that of the recipe's default.

    Args:
        configs: paths of those that are given
        flags: further arguments
        recipe: that is run
    """
    default = recipe.default
    named = data_name(flags) or (default.stem if default else recipe.name)
    names = [] if choose_recipe(configs) else [named]
    return "-".join([*names, *(Path(path).stem for path in configs)])


def shipped_config(name: str, recipe: Recipe) -> str:
    """The path of a config: a file, or by its bare name one shipped with the recipe, or an overlay.

    Raises:
        FileNotFoundError: if there is neither; it lists the shipped names
        ValueError: if the file is no config
    """
    if Path(name).is_file():
        read_config_file(name)
        return name
    shipped = recipe.configs | {path.stem: path for path in sorted(HARDWARE.glob("*.yaml"))}
    if name not in shipped:
        raise FileNotFoundError(f"--config={name}: no such file; shipped: {', '.join(shipped)}")
    return str(shipped[name])
