"""Writes what `predict` computes, while it computes it."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from callbacks.write_predictions.columns import Cells, columns
from callbacks.write_predictions.output import ORDER, Output


class WritePredictions(Callback):
    """Writes what `predict` computes to `<run folder>/predictions.csv`: a row per example.

    The columns are the tensors that `predict_step` returns, by name; a tensor of shape (batch, n)
    becomes n numbered columns. Where the data have `class_names`, classes are written by name. A
    target that is missing leaves its cell empty, and `target` is no column if all are. Where the
    data tell which rows a batch holds (`identifiers`), the first column does: by the name that
    the data's file has for each, or else by its number there, from 0. One of more dimensions, such
    as images, is written to `<name>.npy` beside the table instead, on one process: one array of all
    examples, in the tensor's type, read by `numpy.load`. All are in the order of the predict data,
    and are written while they are computed, so that they take no more memory than a batch. Rows
    that `--count` draws are in `samples.csv`, those of a table in its own columns, units and words.

    ```yaml
    - class_path: WritePredictions
    ```

    Args:
        output: path of the table, by default `predictions.csv` in the run's folder; an older one
            is replaced when the new one is complete
        id: name of the column of the predicted file that says which row each is; by default the
            datamodule's own, or else the row's number
        columns: the columns to write beside that, and their names, such as {prediction: price}; by
            default all, by their own
    """

    def __init__(
        self,
        output: Path | None = None,
        id: str | None = None,
        columns: dict[str, str] | None = None,
    ) -> None:
        self.path, self.id, self.columns = output, id, columns
        self.output: Output | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "predict" or self.id is None:
            return
        if not hasattr(trainer.datamodule, "identifiers"):
            raise ValueError(f"--id={self.id}: --data has no named columns to take it from")
        trainer.datamodule.id, trainer.datamodule.id_option = self.id, "--id"

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run:
            return
        name = getattr(trainer.datamodule, "output_name", "predictions.csv")
        path = Path(self.path or Path(trainer.default_root_dir, name)).expanduser()
        if path.is_dir() or not path.parent.is_dir():
            raise ValueError(f"--output={path}: name a file in a folder that is there")
        self.output = Output(path, self.columns, trainer.world_size)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Tensor],
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self.output is None:
            return
        table: dict[str, Cells] = {}
        classes = getattr(trainer.datamodule, "class_names", None) or ()
        as_written = getattr(trainer.datamodule, "written", None)
        for name, values in outputs.items():
            if values.ndim > 2:
                self.output.add_array(name, values.cpu())
            elif name == "sample" and as_written and (cells := as_written(values)):
                table |= cells
            else:
                table |= columns(name, values.cpu(), classes)
        if table:
            self.output.add_rows(self._which(trainer, batch, batch_idx), table)

    def _which(self, trainer: Trainer, batch: object, batch_idx: int) -> dict[str, Cells]:
        """The columns that say which rows a batch holds, as far as data and loader tell."""
        data, loader = trainer.datamodule, trainer.predict_dataloaders
        if hasattr(data, "identifiers") and isinstance(batch, (tuple, list)) and len(batch) > 2:
            rows = batch[-1].cpu()
            return {ORDER: rows.tolist(), id_name(data.id): data.identifiers(rows)}
        if trainer.world_size == 1:
            return {}
        if not hasattr(loader, "rows"):
            raise ValueError("predict cannot tell the order of these data: --trainer.devices=1")
        return {ORDER: loader.rows(batch_idx).tolist()}

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.output is not None:
            written = self.output.finish(trainer.is_global_zero)
            trainer.strategy.barrier()  # all parts are read
            self.output.close()
            if written:
                rank_zero_info(f"predictions: {', '.join(map(str, written))}")
            self.output = None

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        if self.output is not None:
            self.output.abandon()
            self.output = None


def id_name(column: str | int | None) -> str:
    """What the first column is called: as the data's own, if that is named and not numbered."""
    return "row" if column is None else column if isinstance(column, str) else "id"
