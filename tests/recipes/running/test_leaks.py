"""Nothing of a step stays when it is over: 20,000 of them would fill the memory."""

import gc

import pytest
import torch
from lightning.pytorch import Callback

from recipes.running.cli import main
from recipes.running.recipe import find_recipe, recipe_names


class Alive(Callback):
    """Counts the tensors that there are when an epoch begins."""

    def __init__(self):
        self.counts = []

    def on_train_epoch_start(self, trainer, pl_module):
        gc.collect()
        self.counts.append(sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects()))


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_no_tensor_of_a_step_outlives_it(name, monkeypatch):
    monkeypatch.setenv("RECIPES_DEBUG", "1")
    alive = Alive()
    short = ("--trainer.limit_train_batches=3", "--trainer.limit_val_batches=1")
    often = ("--trainer.max_epochs=4", "--trainer.log_every_n_steps=1")
    quiet = "--trainer.enable_progress_bar=false"
    main(find_recipe(name).module, ["fit", *short, *often, quiet], [alive])
    early, late = alive.counts[-2:]
    record = 10 if name == "study" else 0  # which grows by design
    assert early <= late <= early + record
