"""The number of CPU threads of a run."""

import torch
from jsonargparse.typing import PositiveInt
from lightning.pytorch import Callback, LightningModule, Trainer


class Threads(Callback):
    """Sets torch's number of CPU threads when a run starts.

    Networks of a few thousand weights train fastest on one thread, by far where the other cores
    are busy; and sums are rounded in the same order on every machine, whatever its cores.

    ```yaml
    - class_path: Threads
      init_args: {count: 1}
    ```

    Args:
        count: number of threads of each process
    """

    def __init__(self, count: PositiveInt = 1) -> None:
        self.count = count

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        torch.set_num_threads(self.count)
