"""Who imports whom: nothing upwards, no technique another, no circle, `running` by `__main__`."""

import ast
import shutil
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from launches import ROOT, environment
from marks import some

PACKAGES = ("recipes", "callbacks", "datamodules")
# From the ground up; of recipes, every other room is a technique or a tool.
FLOORS = {"datamodules": 0, "recipes.parts": 0, "callbacks": 1, "recipes.running": 2}
TOP = 3
ALLOWED = {"recipes.study": "recipes.regress"}  # a study is many regressions


def name_of(path: Path, root: Path) -> str:
    """A module's name; a package's is that of its __init__.py."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache  # most modules are the same in every house
def imports(text: str) -> list[tuple[str, str | None]]:
    """Pairs of a module and a name in it, None for the module itself; also within functions."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where a name is from"
            found += [(node.module, alias.name) for alias in node.names]
    return found


class House:
    """The modules below a folder, and what each imports: modules where the imported names are from.

    A package that re-exports a name is passed through, to the module that defines it.
    """

    def __init__(self, root: Path) -> None:
        self.paths = {
            name_of(path, root): path
            for package in PACKAGES
            for path in sorted((root / package).rglob("*.py"))
        }
        self.imported = {name: imports(path.read_text()) for name, path in self.paths.items()}
        self.arrows = {
            name: {self._origin(*pair) for pair in pairs} - {None, name}
            for name, pairs in self.imported.items()
        }

    def _origin(self, module: str, name: str | None) -> str | None:
        if name and f"{module}.{name}" in self.paths:
            return f"{module}.{name}"
        if module not in self.paths:
            return None
        if name and self.is_package(module):
            for source, what in self.imported[module]:
                if what == name:
                    return self._origin(source, what)
        return module

    def is_package(self, module: str) -> bool:
        return self.paths[module].name == "__init__.py"

    def room(self, module: str) -> str:
        """The folder that a module lies in."""
        return module if self.is_package(module) else module.rpartition(".")[0]


def floor(module: str) -> int:
    for room, number in FLOORS.items():
        if f"{module}.".startswith(f"{room}."):
            return number
    return TOP


def technique(module: str, house: House) -> str | None:
    """The technique whose folder a module lies in."""
    folder = ".".join(module.split(".")[:2])
    return folder if f"{folder}.module" in house.paths else None


def faults(root: Path) -> list[str]:
    """What breaks a rule."""
    house, found = House(root), []
    for module, imported in house.arrows.items():
        for other in sorted(imported):
            arrow = f"{module} imports {other}"
            if floor(other) > floor(module):
                found.append(f"{arrow}: upwards")
            own, its = technique(module, house), technique(other, house)
            if own and not module.endswith(".__main__") and other.startswith("recipes.running"):
                found.append(f"{arrow}: only a __main__.py does")
            if own and its and its not in (own, ALLOWED.get(own)):
                found.append(f"{arrow}: another technique's")
    modules = {name: of for name, of in house.arrows.items() if not house.is_package(name)}
    rooms: dict[str, set[str]] = {}
    for name, imported in modules.items():
        others = {house.room(other) for other in imported} - {house.room(name)}
        rooms.setdefault(house.room(name), set()).update(others)
    for graph in (modules, rooms):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as circle:
            found.append(f"a circle: {' -> '.join(reversed(circle.args[1]))}")
    return found


def test_the_house_keeps_its_rules():
    assert faults(ROOT) == []
    house = House(ROOT)
    assert len(house.paths) > 100 and "recipes.parts.logs" in house.arrows["callbacks.totals"]
    assert "callbacks.lr_decay" in house.arrows["recipes.study.module"], "through callbacks"


@pytest.mark.parametrize(
    ("module", "line", "fault"),
    some(
        [
            ("callbacks/totals", "from recipes.running.run import Run", "upwards"),
            ("recipes/parts/logs", "from callbacks import EMA", "upwards"),
            ("recipes/parts/logs", "import callbacks.ema", "upwards"),
            ("recipes/running/run", "from recipes.classify import Classify", "upwards"),
            ("datamodules/digits", "def later():\n    from callbacks.ema import EMA", "upwards"),
            ("recipes/gan/module", "from recipes.running.rows import rewind", "only a __main__"),
            ("recipes/vae/module", "from recipes.gan.examples import packed", "another technique"),
            ("recipes/parts/logs", "from recipes.parts.stepping import backward", "a circle"),
            ("datamodules/reading/sheets", "from datamodules.uci import UCI", "a circle"),
        ],
        4,
    ),
)
def test_a_planted_import_is_found(tmp_path, module, line, fault):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("*.yaml"))
    path = tmp_path / f"{module}.py"
    path.write_text(f"{path.read_text()}\n{line}\n")
    if module == "recipes/parts/logs" and "stepping" in line:
        other = tmp_path / "recipes/parts/stepping.py"
        other.write_text(f"{other.read_text()}\nfrom recipes.parts.logs import log_terms\n")
    found = faults(tmp_path)
    assert found and all(fault in said or "a circle" in said for said in found)
    assert any(fault in said for said in found)


def test_data_that_are_not_asked_for_import_nothing():
    """Half a second of scikit-learn and pandas, which --help would wait for."""
    code = "import sys, recipes.classify; print({'sklearn', 'pandas'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout == "set()\n"
