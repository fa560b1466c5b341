"""What is compared: a run of this project, and the same module and data with stock Lightning."""

from functools import partial
from importlib import import_module

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from torch.utils.data import DataLoader, TensorDataset

from killing.points import Point
from killing.setups import SAVED, SHUFFLED, Setup
from recipes.running.cli import main
from recipes.running.recipe import find_recipe, recipe_names

# Before processes are forked, also what a run imports on its way.
for name in (*(f"recipes.{name}" for name in recipe_names()), "attrs", "requests"):
    import_module(name)
torch.set_num_threads(1)


def ours(recipe: str, arguments: list[str], point: Point) -> None:
    """Runs a recipe's command line."""
    main(find_recipe(recipe).module, arguments, [point])


def stock(setup: Setup, point: Point) -> None:
    """Trains the same module on the same rows with nothing but Lightning and torch.

    It saves as often, resumes from its last checkpoint if there is one, and is seeded. Its metrics
    are on the disk after each row.
    """
    saved = ModelCheckpoint(
        "checkpoints",
        filename=SAVED,
        every_n_train_steps=setup.cadence,
        save_last=True,
        enable_version_counter=False,
    )
    logger = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=."]
    logger += ["--trainer.logger.flush_logs_every_n_steps=1"]
    cli = LightningCLI(
        find_recipe(setup.recipe).module,
        LightningDataModule,
        subclass_mode_data=True,
        save_config_callback=None,
        auto_configure_optimizers=False,
        seed_everything_default=0,
        run=False,
        args=[*setup.flags, *logger],
        trainer_defaults={"callbacks": [saved, point]},
    )
    if setup.recipe in SHUFFLED:
        loader = partial(shuffled, cli.datamodule, setup.workers)
        cli.datamodule.train_dataloader = loader
    # Of its own hyperparameters some are no plain values.
    cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path="last", weights_only=False)


def shuffled(data: LightningDataModule, workers: int) -> DataLoader:
    """Torch's loader of a datamodule's training rows."""
    own = type(data).train_dataloader(data)
    rows = TensorDataset(*own.table.gather(torch.arange(len(own.table)), 0))
    size = data.batch_size
    return DataLoader(rows, size, shuffle=True, drop_last=True, num_workers=workers)
