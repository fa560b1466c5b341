"""What tests share: a quick fit on the digits, and what a run leaves behind."""

import json
from types import SimpleNamespace

import torch
from lightning.pytorch import Trainer

import recipes.running.assembly
from callbacks import KeyedNoise, WritePredictions
from datamodules import Digits


def digits(**kwargs):
    return Digits(**{"batch_size": 64, **kwargs})


def fit(module, data, tmp_path, callbacks=(), resume=None, **kwargs):
    """Trains a module and returns it with its trainer."""
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[KeyedNoise(0), *callbacks],
        **{"max_epochs": 1, "logger": False, "enable_checkpointing": False, **kwargs},
    )
    trainer.fit(module, datamodule=data, ckpt_path=resume)
    return module, trainer


CPU = torch.device("cpu")


def seen_by(rank=0, world_size=1, dtype=torch.float32, overfit_batches=0):
    """What a datamodule asks of its trainer, on one of several processes."""
    shares = {"rank": rank, "num_replicas": world_size}
    return SimpleNamespace(
        strategy=SimpleNamespace(distributed_sampler_kwargs=shares, root_device=CPU),
        overfit_batches=overfit_batches,
        lightning_module=SimpleNamespace(dtype=dtype),
    )


def middle_of_epoch(folder):
    """Flags that save a run every 10 batches."""
    return (
        "--trainer.callbacks+=ModelCheckpoint",
        "--trainer.callbacks.every_n_train_steps=10",
        f"--trainer.callbacks.dirpath={folder}/checkpoints",
        "--trainer.callbacks.filename=middle",
        "--trainer.callbacks.enable_version_counter=false",
    )


def interrupt_after(batches, monkeypatch):
    """From now on, a run's process fails after some batches."""

    class Interruption(WritePredictions):
        def on_train_batch_end(self, trainer, *args):
            if trainer.global_step == batches:
                raise MemoryError("interrupted")

    others = recipes.running.assembly.DEFAULTS[:-1]
    monkeypatch.setattr(recipes.running.assembly, "DEFAULTS", (*others, Interruption))


def weights(network):
    return torch.cat([value.detach().flatten() for value in network.state_dict().values()])


def rows(folder, name="metrics"):
    """The rows of a run's metrics file."""
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
