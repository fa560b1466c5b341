"""What is installed, what must never be, and what the wheel ships."""

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions

import pytest

from launches import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_torchvision_is_absent():
    """A build of it that does not match torch makes `import lightning` fail."""
    assert importlib.util.find_spec("torchvision") is None
    requirements = [line for dist in distributions() for line in dist.requires or []]
    required = [line for line in requirements if re.match(r"torchvision\b", line)]
    assert all("extra ==" in line for line in required), "nothing installed asks for it"
    assert not any("torchvision" in line for line in PROJECT["dependencies"])


def test_the_malicious_lightning_releases_are_excluded():
    from packaging.requirements import Requirement

    (lightning,) = (Requirement(r) for r in PROJECT["dependencies"] if r.startswith("lightning"))
    assert not any(lightning.specifier.contains(bad) for bad in ("2.6.2", "2.6.3"))
    assert lightning.specifier.contains("2.6.6")


def test_the_wheel_ships_every_module_config_template_and_text(tmp_path):
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if "dist-info" not in name}
    expected = {
        str(path.relative_to(ROOT))
        for package in ("recipes", "callbacks", "datamodules")
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".yaml", ".html", ".gz")
    }
    assert shipped == expected


def test_no_package_hides_another_in_the_tests():
    assert not list((ROOT / "tests").rglob("__init__.py"))
