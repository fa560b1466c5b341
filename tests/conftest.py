"""What all tests share: runs land in a temporary folder, and W&B stays away unless asked for.

Imports of seconds are within the fixtures: the process that only hands out the tests needs none.
"""

import gc
import os
import sys

import pytest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Runs write to ./runs; one thread, so that a busy machine does not slow small networks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of child processes
    monkeypatch.setenv("WANDB_MODE", "disabled")
    left = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # by Lightning
    for name in ("RECIPES_DEBUG", "WANDB_API_KEY", "WANDB_PROJECT", "PL_GLOBAL_SEED", *left):
        monkeypatch.delenv(name, raising=False)
    known = set(sys.modules)
    yield
    forget(sys.modules.keys() - known, tmp_path)
    if "forks" in sys.modules:
        sys.modules["forks"].end_all()
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()  # a logger of a test's own; teardown leaves wandb.run open
        sys.modules["wandb"].teardown()  # its process writes below the folder that it started in
    distributed = sys.modules.get("torch.distributed")
    if distributed and distributed.is_initialized():  # by a run of a strategy of several processes
        distributed.destroy_process_group()


def forget(names, folder):
    """Modules whose files a test has written, and their classes, which a base class still knows."""
    files = {name: str(getattr(sys.modules[name], "__file__", "")) for name in names}
    theirs = [name for name, file in files.items() if file.startswith(str(folder))]
    for name in theirs:
        del sys.modules[name]
    if theirs:
        gc.collect()


class Undrawn:
    """A matplotlib figure that is a file of one pixel."""

    def __init__(self, **options):
        pass

    def __getattr__(self, name):
        return lambda *args, **options: Undrawn()

    def __iter__(self):
        return iter(())

    def __getitem__(self, key):
        return Undrawn()

    def savefig(self, path, **options):
        from PIL import Image

        Image.new("1", (1, 1)).save(path, "png")


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures are not drawn: half of a short run's time.

    Their own tests, and runs in other processes, draw them.
    """
    from matplotlib.figure import Figure

    import callbacks.class_report
    import callbacks.curves
    import callbacks.worst_mistakes
    import recipes.compare.picture
    import recipes.study.lesson_picture
    import recipes.study.picture

    for module in (callbacks.curves, callbacks.class_report, callbacks.worst_mistakes):
        monkeypatch.setattr(module, "Figure", Undrawn)
    # Their limits are those of real axes.
    made = type("Unsaved", (Figure,), {"savefig": Undrawn.savefig})
    drawn = (recipes.compare.picture, recipes.study.picture, recipes.study.lesson_picture)
    for module in drawn:
        monkeypatch.setattr(module, "Figure", made)


@pytest.fixture
def recipe(monkeypatch, undrawn):
    """Runs a recipe's command line in this process: recipe("distill", "fit", "--name=a")."""
    from recipes.running.cli import main
    from recipes.running.recipe import find_recipe

    monkeypatch.setenv("RECIPES_DEBUG", "1")  # errors come as what they are

    def run(name, *args):
        main(find_recipe(name).module, [*args, "--trainer.enable_progress_bar=false"])

    return run


@pytest.fixture(autouse=True, scope="session")
def quiet_environment():
    """Lightning leaves its seed in the environment."""
    import torch

    torch.set_num_threads(1)
    yield
    os.environ.pop("PL_GLOBAL_SEED", None)
