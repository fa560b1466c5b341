"""Recipes that are not in this project: a single file, a package of one's own, a notebook."""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from forks import Forked, ended_well
from launches import ROOT, environment
from recipes.classify import Classify
from recipes.compare.__main__ import main as compare
from recipes.running import cli
from recipes.running.recipe import Recipe, data_name, find_recipe, recipe_names, start_as
from recipes.seeds.__main__ import main as seeds
from snippets import blocks
from trains import rows

GUARD = '\n\nif __name__ == "__main__":\n    main(VAE)\n'
(SINGLE,) = blocks(ROOT / "recipes/README.md", "python")
VAE = SINGLE.removesuffix(GUARD)
FLAGS = ("--data=Digits", "--trainer.max_epochs=2", "--trainer.log_every_n_steps=4")


@pytest.fixture
def single():
    """A recipe in a single file."""
    path = Path("my_vae.py")
    path.write_text(SINGLE)
    return path


@pytest.fixture
def package():
    """A recipe in a package of somebody's own, with a config and a search space."""
    folder = Path("lab/vae")
    folder.mkdir(parents=True)
    Path("lab/__init__.py").touch()
    (folder / "module.py").write_text(VAE)
    (folder / "__init__.py").write_text(
        'from lab.vae.module import VAE\n"""Ours."""\n__all__ = ["VAE"]\n'
    )
    (folder / "__main__.py").write_text("from lab.vae.module import VAE, main" + GUARD)
    (folder / "small.yaml").write_text(
        "# Small.\ndata: {class_path: Digits}\nmodel: {latent: 2}\n"
        "trainer: {max_epochs: 2, log_every_n_steps: 4}\n"
    )
    (folder / "sweep.yaml").write_text(
        "method: grid\nmetric: {name: val/loss, goal: minimize}\n"
        "parameters: {model.latent: {values: [1, 2]}}\n"
    )
    return folder


def facts(folder):
    return json.loads((folder / "run.json").read_text())


def test_a_single_file_is_a_recipe(single):
    """As typed: `python my_vae.py fit`; it resumes, and ends where an uninterrupted run does."""
    ended_well(Forked("my_vae.py", "fit", *FLAGS, "--name=whole"))
    folder = Path("runs/my_vae/whole")
    assert facts(folder)["command"].startswith("python my_vae.py fit --data=Digits")
    short = [flag.replace("epochs=2", "epochs=1") for flag in FLAGS]
    ended_well(Forked("my_vae.py", "fit", *short))
    cut = Path("runs/my_vae/my_vae-1")
    checkpoint = f"--ckpt_path={cut}/checkpoints/last.ckpt"
    ended_well(Forked("my_vae.py", "fit", checkpoint, "--trainer.max_epochs=2"))
    assert rows(cut) == rows(folder)
    ended_well(Forked("my_vae.py", "validate", checkpoint))
    assert rows(cut, "validate")[0]["val/loss"] > 0


def test_a_single_file_has_the_config_of_its_name(single):
    Path("my_vae.yaml").write_text("data: {class_path: Digits}\ntrainer: {max_epochs: 1}\n")
    ended_well(Forked("my_vae.py", "fit"))
    assert Path("runs/my_vae/my_vae-1/config.yaml").exists()


def test_a_single_file_is_repeated_over_seeds_by_the_name_of_its_module(
    single, monkeypatch, tmp_path, capsys
):
    monkeypatch.syspath_prepend(tmp_path)
    seeds(["--recipe=my_vae", "--seeds=2", *FLAGS])
    assert "| my_vae" in capsys.readouterr().out
    assert {path.name for path in Path("runs/my_vae").glob("*-s?")} == {"my_vae-s0", "my_vae-s1"}
    assert facts(Path("runs/my_vae/my_vae-s0"))["command"].startswith("python -m my_vae fit")


def test_a_file_without_a_guard_is_a_recipe_too(tmp_path, monkeypatch, capsys):
    """It trains when it is run, by its path or its module, and not when a tool imports it."""
    Path("my_vae.py").write_text(f"{VAE}\n\nmain(VAE)\n")
    for module in ("my_vae.py", "my_vae"):
        ended_well(Forked(module, "fit", *FLAGS))
    assert {path.name for path in Path("runs/my_vae").iterdir()} >= {"my_vae-1", "my_vae-2"}
    monkeypatch.syspath_prepend(tmp_path)
    seeds(["--recipe=my_vae", "--seeds=1", "--name=a", *FLAGS])
    assert facts(Path("runs/my_vae/a-s0"))["seed"] == 0


PRESENT = "pytorch_lightning: import lightning.pytorch as pl, its present name"


def test_the_old_name_of_lightning_is_told(single, tmp_path, monkeypatch):
    """Its classes are others, which the present one would not know."""
    pytest.importorskip("pytorch_lightning", reason="needs the old package")
    old = SINGLE.replace("from lightning.pytorch import", "from pytorch_lightning import")
    assert old != SINGLE
    single.write_text(old)
    (tmp_path / "theirs.py").write_text(
        "import pytorch_lightning as pl\n"
        "class Data(pl.LightningDataModule):\n    pass\n"
        "class Talk(pl.Callback):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    process = Forked("my_vae.py", "fit", "--data=Digits")
    assert process.wait() == 1
    said = process.output()
    assert f"error: VAE is a LightningModule of {PRESENT}" in said and "Traceback" not in said
    for flags, line in (
        (["--data=theirs.Data"], f"--data=theirs.Data is of {PRESENT}"),
        (["--trainer.callbacks+=theirs.Talk"], f"--trainer.callbacks=theirs.Talk is of {PRESENT}"),
    ):
        with pytest.raises(SystemExit, match=line.replace("+", r"\+")):
            cli.main(Classify, ["fit", *flags])
    with pytest.raises(SystemExit, match=f"--recipe=my_vae: VAE is of {PRESENT}"):
        seeds(["--recipe=my_vae"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["callbacks", "datamodules"])
def test_a_folder_of_the_users_that_hides_ours_is_named(name):
    folder = Path(name).resolve()
    folder.mkdir()
    command = [sys.executable, "-m", "recipes.compare"]
    compared = run(command)
    assert "error: runs: no such folder" in compared.stderr, "one without __init__.py hides none"
    (folder / "__init__.py").touch()
    hidden = run(command)
    assert hidden.returncode == 1
    assert hidden.stderr.startswith(f"error: {folder} hides this project's {name}: rename it, ")
    assert hidden.stderr.count("\n") == 1
    command.insert(1, "-P")
    assert "error: runs: no such folder" in run(command).stderr, "the way on that it tells"


def run(command):
    """A command, started in the present folder as a user does."""
    return subprocess.run(command, capture_output=True, text=True, env=environment())


def test_what_is_missing_is_named(single):
    process = Forked("my_vae.py", "fit")
    assert process.wait() == 1
    assert "error: fit needs --data, such as --data=Digits" in process.output()


def test_a_package_of_ones_own_is_a_recipe(package, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    ended_well(Forked("lab.vae", "fit"))
    folder = Path("runs/vae/small-1")
    assert facts(folder)["command"] == "python -m lab.vae fit"
    assert yaml.safe_load((folder / "config.yaml").read_text())["model"]["latent"] == 2
    compare(["--recipe=lab.vae", "--output=compared"])
    assert "small-1" in Path("compared/compare.html").read_text()
    helped = Forked("lab.vae", "fit", "--help")
    ended_well(helped)
    assert "Without any, small" in " ".join(helped.output().split())


@pytest.mark.slow
def test_a_package_of_ones_own_is_repeated_and_searched(package):
    ended_well(Forked("recipes.seeds", "--recipe=lab.vae", "--seeds=2", "--trainer.max_epochs=1"))
    assert len(list(Path("runs/vae").glob("small-s?"))) == 2
    search = Forked("recipes.tune", "--recipe=lab.vae", "--trainer.max_epochs=1")
    ended_well(search)
    assert "python -m lab.vae fit --config runs/vae/tune/best.yaml" in search.output()


def test_two_processes_are_started_as_the_first_was(monkeypatch, package):
    """Lightning starts the others by what it finds in this process."""
    monkeypatch.syspath_prepend(".")
    before = sys.argv, sys.modules["__main__"].__spec__
    try:
        start_as(find_recipe("lab.vae"), ["fit"])
        assert sys.argv == ["lab.vae", "fit"]
        assert sys.modules["__main__"].__spec__.name == "lab.vae.__main__"
        start_as(find_recipe("classify"), ["fit"])
        assert sys.modules["__main__"].__spec__.name == "recipes.classify.__main__"
    finally:
        sys.argv, sys.modules["__main__"].__spec__ = before


def test_a_recipe_of_this_project_is_found_by_its_short_name():
    for name in recipe_names():
        recipe = find_recipe(name)
        assert recipe.name == name and recipe.target == ("-m", f"recipes.{name}")
        assert recipe.default and recipe.sweep.is_file()
    assert Recipe.of(Classify) == find_recipe("classify") == find_recipe("recipes.classify")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("nothing", "", "--recipe=nothing: the recipes are classify, diffusion, .* lab.vae"),
        ("empty", "x = 1", r"--recipe=empty defines 0 LightningModules \(none\)"),
        ("two", VAE + "\nclass Other(VAE): pass\n", r"defines 2 .*\(VAE, Other\).*__all__"),
    ],
)
def test_a_recipe_that_is_not_there_is_one_line(name, text, said, monkeypatch):
    if text:
        Path(f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(".")
    with pytest.raises(ValueError, match=said):
        find_recipe(name)


def test_a_class_of_a_notebook_is_a_recipe(monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    notebook = type("Mine", (Classify,), {"__module__": "__main__"})
    recipe = Recipe.of(notebook)
    assert (recipe.name, recipe.configs, recipe.default) == ("mine", {}, None)


@pytest.mark.slow
def test_the_wheel_in_a_fresh_environment_runs_a_package_of_ones_own(package, tmp_path):
    """Installed as a user does, from another folder, without this checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "fresh"], check=True)
    pip = [sys.executable, "-m", "pip", "--python=fresh/bin/python", "install", "--no-compile"]
    subprocess.run([*pip, "-q", str(wheel)], check=True)
    own = {key: value for key, value in environment().items() if key != "PYTHONPATH"}
    for command in (
        "lab.vae fit",
        "recipes.seeds --recipe=lab.vae --seeds=2",
        "recipes.distill -h",
    ):
        fresh = ["fresh/bin/python", "-m", *command.split()]
        done = subprocess.run(fresh, env=own, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    where = ["fresh/bin/python", "-c", "import recipes; print(recipes.__file__)"]
    found = subprocess.run(where, env=own, capture_output=True, text=True, check=True)
    assert str(tmp_path) in found.stdout, "not this checkout"
    assert len(list(Path("runs/vae").glob("small-*"))) == 3


PAGE = """
    # Variational autoencoder

    ![accuracy](../../benchmarks/pictures/classify.png)

    ## Method

    $$L = -\\mathrm{ELBO}$$

    ## Run it

    ```bash
    python -m recipes.coder fit
    ```

    <!-- configs: recipes/coder -->
    <!-- end -->

    **Your own data.** Images of 8x8 pixels.

    <!-- arguments: recipes.coder.VAE -->
    <!-- end -->

    ## Results

    ## What is logged

    | key | meaning, unit |
    | --- | --- |
    | `train/loss`, `val/loss` | nats |
    | `train/error`, `train/kl`, `val/error`, `val/kl` | its terms |
    | `lr/<optimizer>`, `samples` | |

    ## Differences from the paper

    ## What it refuses, and why
"""


# Of the tests, those of this recipe, and those that look at all recipes at once.
OF_A_RECIPE = "coder or every_recipe or generated_parts or for_each_technique or test_imports"


@pytest.mark.slow
def test_a_recipe_in_this_project_passes_its_tests(tmp_path):
    """The steps of recipes/README.md, followed word for word, in a copy."""
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns(".git", ".venv", "runs", "data", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, copy, ignore=ignored)
    folder = copy / "recipes/coder"
    folder.mkdir()
    (folder / "module.py").write_text(VAE.replace("from recipes.running import main\n", ""))
    card = '"""A variational autoencoder."""\n\nfrom recipes.coder.module import VAE\n\n'
    (folder / "__init__.py").write_text(card + '__all__ = ["VAE"]\n')
    start = "from recipes.running import main\nfrom recipes.coder import VAE\n"
    (folder / "__main__.py").write_text(start + GUARD)
    config = """
        # Handwritten digits by codes of 4 numbers.
        #
        #   python -m recipes.coder fit
        data: {class_path: Digits}
        trainer: {max_epochs: 20, log_every_n_steps: 4, callbacks: [{class_path: LRDecay}]}
    """
    (folder / "digits.yaml").write_text(textwrap.dedent(config).lstrip())
    sweep = """
        # How large a code.
        #
        #   python -m recipes.tune --recipe coder
        #   wandb sweep recipes/coder/sweep.yaml
        name: coder
        command: ["${env}", python, -m, recipes.coder, fit, "${args}"]
        method: grid
        metric: {name: val/loss, goal: minimize}
        parameters: {model.latent: {values: [2, 4, 8]}}
    """
    (folder / "sweep.yaml").write_text(textwrap.dedent(sweep).lstrip())
    (folder / "README.md").write_text(textwrap.dedent(PAGE).lstrip())
    with (copy / "tests/canaries.yaml").open("a") as file:
        file.write(
            "coder:\n  flags: [--trainer.max_epochs=8]\n  still: [--model.lr=0]\n"
            "  metric: val/loss\n"
        )
    here = environment() | {"PYTHONPATH": str(copy)}
    for command in ("tests/support/canaries.py coder", "benchmarks/pages.py"):
        subprocess.run([sys.executable, *command.split()], cwd=copy, env=here, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-k", OF_A_RECIPE, "-p", "no:cacheprovider"],
        cwd=copy,
        env=here,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--data=Tabular", "--data.path=a/train.csv"], "train"),
        (["--data.path", "b.csv.gz"], "b"),
        (["--data.init_args.path=https://host/x/wine.parquet?raw=1"], "wine"),
        (["--data.path=shards/*.parquet"], "shards"),
        (["--data.path=ylecun/mnist"], "mnist"),
        (["--data.path=*.csv"], None),
        (["--data.val_size=0.1"], None),
    ],
)
def test_runs_on_ones_own_data_are_called_as_the_file(flags, name):
    assert data_name(flags) == name


def test_the_name_of_the_file_gives_way_to_a_config_s(tmp_path):
    from recipes.running.settings import in_order

    regress = find_recipe("regress")
    assert in_order(["--data.path=train.csv"], regress)[1] == "train"
    assert in_order(["--data.path=train.csv", "--config=lbfgs"], regress)[1] == "lbfgs"
    assert in_order(["--data.path=train.csv", "--config=bf16"], regress)[1] == "train-bf16"
    assert in_order([], regress)[1] == "diabetes"
