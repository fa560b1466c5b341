"""What datamodules whose splits are tables in memory share: loaders, and the type of the inputs."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from datamodules.loading.data_module import DataModule
from datamodules.loading.loader import Loader, Table, data_rank, place


class InMemory(DataModule, ABC):
    """A table for each split, drawn from by the shared loader.

    A subclass fills `tables` with `train`, `val` and `test` in `setup`, which may be called again,
    and may say how stored inputs become what the network sees (`scale`).

    Args:
        batch_size: rows per batch, on each process
        seed: of the order of the training rows
    """

    def __init__(self, batch_size: int, seed: int) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.batch_size, self.seed = batch_size, seed
        self.tables: dict[str, Table] = {}

    @abstractmethod
    def setup(self, stage: str) -> None: ...

    def scale(self, inputs: Tensor) -> Tensor:
        """Stored inputs, in the type of the network's weights."""
        return inputs.to(self.trainer.lightning_module.dtype if self.trainer else torch.float32)

    def on_after_batch_transfer(
        self, batch: tuple[Tensor, ...], dataloader_idx: int
    ) -> tuple[Tensor, ...]:
        # After the transfer, so that a GPU receives bytes and not floats.
        inputs, *columns = batch
        return self.scale(inputs), *columns

    def _loader(self, split: str, shuffle: bool = False) -> Loader:
        rank, world_size = data_rank(self.trainer)
        place(self.tables[split], self.trainer)
        return Loader(
            self.tables[split],
            self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )

    def train_dataloader(self) -> Loader:
        # Lightning can turn shuffling off only in loaders of its own kind.
        return self._loader("train", shuffle=not (self.trainer and self.trainer.overfit_batches))

    def val_dataloader(self) -> Loader:
        return self._loader("val")

    def test_dataloader(self) -> Loader:
        return self._loader("test")

    def predict_dataloader(self) -> Loader:
        return self._loader("test")
