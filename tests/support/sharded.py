"""Trains with callbacks on one process, or with weights sharded over two.

python sharded.py 2 folder [interrupted]
"""

import json
import sys

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from callbacks import (
    EMA,
    L1,
    Export,
    FiniteLoss,
    GradientClip,
    HyperparameterSchedule,
    LossDrivenLR,
    LRDecay,
    MaxNorm,
    OptimizerStats,
    Prune,
    Throughput,
)

SIZES = (7, 30, 5)  # of which two processes hold unequal shares


class Rows(Logger):
    name = version = ""
    rows: list = []  # noqa: RUF012 - there is one logger in this process

    def log_metrics(self, metrics, step=None):
        self.rows.append({"step": step, **metrics})

    def log_hyperparams(self, *args, **kwargs):
        pass


class Network(LightningModule):
    def __init__(self, is_sharded):
        super().__init__()
        self.is_sharded = is_sharded
        torch.manual_seed(0)
        first, second, third = SIZES
        self.network = nn.Sequential(nn.Linear(first, second), nn.Tanh(), nn.Linear(second, third))
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(64, first, generator=generator)
        self.targets = torch.randn(64, third, generator=generator)

    def configure_model(self):
        if self.is_sharded and not isinstance(self.network[0].weight, DTensor):
            # The last layer belongs to the root, which keeps what it has gathered.
            for module in (self.network[0], self.network):
                fully_shard(module, mesh=self.device_mesh["data_parallel"])

    def loss(self):
        """Of this process's share of the batch."""
        share = slice(self.global_rank, None, self.trainer.world_size)
        return (self.network(self.inputs[share]) - self.targets[share]).square().mean()

    def training_step(self, batch, batch_idx):
        loss = self.loss()
        self.log("train/loss", loss, sync_dist=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.loss(), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 0.02, weight_decay=0.1)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(12, 1))

    def val_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(1, 1))


def trainer(processes: int, folder: str, epochs: int) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=processes,
        strategy=ModelParallelStrategy(processes, 1) if processes > 1 else "auto",
        use_distributed_sampler=False,
        logger=Rows(),
        log_every_n_steps=1,
        max_epochs=epochs,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        val_check_interval=5,
        callbacks=[
            LRDecay(warmup="10%", length=24),
            LossDrivenLR("loss", "batch", patience=1, small=0.95, min_scale=0.3, multiply=True),
            OptimizerStats(every=5, layers=True),
            EMA("network", 6),
            L1(0.01),
            MaxNorm(0.5),
            Prune(0.3, end=18, every=3, module="network"),
            GradientClip(0.2),
            HyperparameterSchedule("weight_decay", schedule="linear", length=24),
            Throughput(),
            FiniteLoss(),
            Export("network"),
        ],
    )


def main(processes: int, folder: str, interrupted: bool) -> None:
    checkpoint = None
    if interrupted:
        first = trainer(processes, folder, epochs=1)
        first.fit(Network(processes > 1))
        checkpoint = f"{folder}/half.ckpt"
        first.save_checkpoint(checkpoint)
    last = trainer(processes, folder, epochs=2)
    last.fit(Network(processes > 1), ckpt_path=checkpoint)
    if last.is_global_zero:
        with open(f"{folder}/rows.json", "w") as file:
            json.dump(Rows.rows, file)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], "interrupted" in sys.argv)
