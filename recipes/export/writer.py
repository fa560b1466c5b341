"""Writes a run's file and compares what it predicts with the run's own predictions."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from recipes.export.deployed import Deployed, facts, floats, network_name
from recipes.export.formats import FORMATS, Predict
from recipes.parts.files import replacing

Predictions = dict[str, Tensor]  # by name


class Writer(Callback):
    """Writes a file while a checkpoint is validated, when the module has the evaluated weights.

    The file's predictions of the raw inputs are compared with what the recipe's own `predict_step`
    makes of the batches that the Trainer gives it.

    Args:
        kind: one of FORMATS
        path: of the file
        tolerance: largest difference that is accepted, of numbers up to 1; of larger ones it is
            relative to the largest
        checkpoint: path of what is validated

    Raises:
        ValueError: if the difference is larger, or there are no validation data; no file is left
            then
    """

    def __init__(self, kind: str, path: Path, tolerance: float, checkpoint: str) -> None:
        self.kind, self.path, self.tolerance = kind, path, tolerance
        self.checkpoint = checkpoint
        self.expected: list[Predictions] = []  # of each validation batch
        self.said = ""

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: Sequence[Tensor],
        batch_idx: int,
        *args: object,
    ) -> None:
        if network_name(pl_module):  # else it is refused
            self.expected.append(floats(pl_module.predict_step(batch, batch_idx)))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        deployed = Deployed(pl_module, trainer.datamodule, self.kind != "adapter").eval()
        loader = trainer.datamodule.val_dataloader()
        batches = [
            (deployed.raw(batch[0]), expected)
            for batch, expected in zip(loader, self.expected, strict=False)
        ]
        if not batches:
            raise ValueError("the run has no validation data to check the file on; see --data")
        inputs, expected = batches[0]
        # By torch.export, one row is a size of its own.
        batches.append((inputs[:1], {name: value[:1] for name, value in expected.items()}))
        _, write = FORMATS[self.kind]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as partial:
            # The writers look at the name's end.
            named = partial.with_name(f"{partial.name}{self.path.suffix}")
            try:
                with torch.no_grad():
                    example = inputs.repeat(2, *[1] * (inputs.ndim - 1))[:2]
                    predict = write(deployed, example, facts(deployed, self.checkpoint), named)
                    self.said = self._compared(predict, batches)
                shutil.copyfile(named, partial)  # safetensors' own is for its owner alone
            finally:
                named.unlink(missing_ok=True)

    def _compared(self, predict: Predict, batches: list[tuple[Tensor, Predictions]]) -> str:
        """How far the file's predictions are from the run's, in a line.

        Args:
            predict: by the file
            batches: raw inputs, and the run's predictions of them
        """
        found, sizes = differences(predict, batches)
        rows = sum(len(inputs) for inputs, _ in batches) - 1
        said = ", ".join(f"{name} {value:.2g}" for name, value in found.items())
        line = f"largest difference from the run's own predictions of {rows} rows: {said}"
        if any(value > self.tolerance * sizes[name] for name, value in found.items()):
            raise ValueError(f"--tolerance={self.tolerance:g}: {line}; nothing is written")
        return line


def differences(
    predict: Predict, batches: list[tuple[Tensor, Predictions]]
) -> tuple[dict[str, float], dict[str, float]]:
    """By prediction, the largest difference from what is expected, and the largest size, or 1.

    Args:
        predict: what is compared
        batches: raw inputs, and what is expected of them
    """
    found, sizes = dict.fromkeys(batches[0][1], 0.0), dict.fromkeys(batches[0][1], 1.0)
    for inputs, expected in batches:
        given = predict(inputs)
        for name, value in expected.items():
            difference = (given[name] - value).abs().max()
            found[name] = max(found[name], float(difference.nan_to_num(torch.inf)))
            sizes[name] = max(sizes[name], float(value.abs().max()))
    return found, sizes
