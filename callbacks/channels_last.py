"""The memory format in which convolutions are fastest on tensor cores."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class ChannelsLast(Callback):
    """Keeps convolutions' weights with the channels last in memory while a run lasts.

    A convolution whose weight is in this format makes its output so too, so that the images need
    not be. Values and shapes stay what they are.

    ```yaml
    - class_path: ChannelsLast
    ```
    """

    @property
    def state_key(self) -> str:
        return "ChannelsLast"

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for parameter in pl_module.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
