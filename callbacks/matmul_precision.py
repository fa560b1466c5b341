"""How precisely float32 matrices are multiplied on a GPU."""

from typing import Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class MatmulPrecision(Callback):
    """Sets the precision of float32 matrix products and convolutions on a GPU for a run.

    ```yaml
    - class_path: MatmulPrecision
      init_args: {precision: high}
    ```

    Args:
        precision: highest: float32, 23 bits of mantissa; high: TF32, 10 bits, several times as
            fast on GPUs since Ampere; medium: bfloat16, 7 bits. Of convolutions, high and medium
            are both TF32
    """

    def __init__(self, precision: Literal["highest", "high", "medium"] = "high") -> None:
        self.precision = precision

    @property
    def state_key(self) -> str:
        return "MatmulPrecision"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision(self.precision)
        torch.backends.cudnn.allow_tf32 = self.precision != "highest"

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        precision, torch.backends.cudnn.allow_tf32 = self.before
        torch.set_float32_matmul_precision(precision)
