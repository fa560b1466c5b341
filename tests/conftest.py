"""What all tests share: runs land in a temporary folder, and W&B stays away unless asked for."""

import os

import pytest
import torch
import torch.distributed as dist
import wandb

import forks
from recipes.running.cli import main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Runs write to ./runs; one thread, so that a busy machine does not slow small networks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of child processes
    monkeypatch.setenv("WANDB_MODE", "disabled")
    left = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # by Lightning
    for name in ("RECIPES_DEBUG", "WANDB_API_KEY", "WANDB_PROJECT", "PL_GLOBAL_SEED", *left):
        monkeypatch.delenv(name, raising=False)
    yield
    forks.end_all()
    if dist.is_initialized():  # by a run of a strategy with several processes
        dist.destroy_process_group()
    wandb.teardown()  # its process writes below the folder that it was started in


@pytest.fixture
def recipe(monkeypatch):
    """Runs a recipe's command line in this process: recipe("distill", "fit", "--name=a")."""
    monkeypatch.setenv("RECIPES_DEBUG", "1")  # errors come as what they are

    def run(name, *args):
        module = __import__(f"recipes.{name}", fromlist=["*"])
        main(getattr(module, module.__all__[0]), [*args, "--trainer.enable_progress_bar=false"])

    return run


@pytest.fixture(autouse=True, scope="session")
def quiet_environment():
    """Lightning leaves its seed in the environment."""
    torch.set_num_threads(1)
    yield
    os.environ.pop("PL_GLOBAL_SEED", None)
