"""Asks runs for their predictions, and refuses runs that cannot be compared row by row."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from recipes.ensemble.combine import Columns, Predicted
from recipes.parts.keys import dotted
from recipes.running.resume import SPLITS
from recipes.running.trained import Trained

OF_PREDICT = ("--data.predict", "--id", "--columns")  # flags that are of `predict` alone


class Recorder(Callback):
    """Keeps what a run predicts of its validation data, or of what `predict` is asked.

    Attributes:
        batches: what `predict_step` has returned
        said: classes, and levels of quantiles
    """

    def __init__(self) -> None:
        self.batches: list[Columns] = []
        self.said: dict[str, tuple] = {}

    def predicted(self) -> Predicted:
        """All rows.

        Raises:
            ValueError: if there are none, or they are neither probabilities nor numbers
        """
        if not self.batches:
            raise ValueError(
                "the run has no validation data, on which runs are compared; see --data"
            )
        columns = {name: torch.cat([b[name] for b in self.batches]) for name in self.batches[0]}
        known = [name for name in columns if name.startswith("prediction")]
        if not ("probability" in columns or any(columns[n].is_floating_point() for n in known)):
            raise ValueError(
                f"it predicts {', '.join(columns) or 'nothing'}: no probabilities or numbers"
            )
        return Predicted(columns, **self.said)

    def _keep(self, trainer: Trainer, module: LightningModule, outputs: Columns) -> None:
        classes = tuple(map(str, getattr(trainer.datamodule, "class_names", None) or ()))
        levels = getattr(getattr(module, "loss", None), "levels", ())
        self.said = {"classes": classes, "levels": levels}
        self.batches.append({name: value.detach().cpu() for name, value in outputs.items()})

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: Sequence[Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._keep(trainer, pl_module, pl_module.predict_step(batch, batch_idx))

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Columns,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._keep(trainer, pl_module, outputs)


class Instead(Callback):
    """Lets `predict` write other predictions than the run's own.

    Args:
        columns: of all rows
    """

    def __init__(self, columns: Columns) -> None:
        self.columns, self.start = columns, 0

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        def predict_step(batch: Sequence[Tensor], batch_idx: int) -> Columns:
            part = slice(self.start, self.start + len(batch[0]))
            self.start = part.stop
            return {name: values[part] for name, values in self.columns.items()}

        pl_module.predict_step = predict_step


def ask(run: Trained, subcommand: str, flags: Sequence[str], *callbacks: Callback) -> Predicted:
    """What a run predicts of its validation data (`validate`), or of test or new rows (`predict`).

    Args:
        run: to ask
        subcommand: validate or predict
        flags: of the recipe's command line
        callbacks: further ones, before what is recorded

    Raises:
        ValueError, SystemExit: with what went wrong
    """
    recorder = Recorder()
    with TemporaryDirectory() as folder, naming(run):
        if subcommand == "predict":
            flags = [*flags, f"--output={Path(folder, 'predictions.csv')}"]
        else:
            flags = [flag for flag in flags if not flag.startswith(OF_PREDICT)]
        run.ask(subcommand, [*callbacks, recorder], flags)
        return recorder.predicted()


@contextmanager
def naming(run: Trained) -> Iterator[None]:
    """Names the run that an error is of."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{run.folder}: {error}") from error
    except SystemExit as stop:
        said = str(stop.code).removeprefix("error: ")
        raise ValueError(f"{run.folder}: {said}") from stop


def check_same_division(runs: Sequence[Trained]) -> None:
    """Refuses runs whose rows are divided otherwise: one's validation would be another's training.

    Raises:
        ValueError: naming the two, and the setting
    """
    first, *others = ((run, division(run)) for run in runs)
    for run, settings in others:
        for key, value in first[1].items():
            if settings[key] != value:
                raise ValueError(
                    f"{run.folder} has --{key}={settings[key]}, {first[0].folder} has {value}: "
                    "what one validates on, the other may have been trained on"
                )


def division(run: Trained) -> dict[str, Any]:
    """The settings by which a run's rows are for training, validation or test."""
    settings = {key.replace(".init_args", ""): v for key, v in dotted(run.config).items()}
    keys = ("data.class_path", "data.val_path", "data.test_path", *SPLITS)
    return {key: settings.get(key) for key in keys}


def check_same_rows(runs: Sequence[Trained], found: Sequence[Predicted]) -> None:
    """Refuses runs that predict other rows or other things.

    Raises:
        ValueError: naming the two, and what differs
    """
    first = found[0]
    aspects: dict[str, Callable[[Predicted], Any]] = {
        "classes": lambda p: p.classes,
        "columns": lambda p: list(p.columns),
        "number of rows": lambda p: len(next(iter(p.columns.values()))),
        "levels of quantiles": lambda p: p.levels if "quantile" in str([*p.columns]) else (),
        "shapes": lambda p: [tuple(v.shape) for v in p.columns.values()],
    }
    for run, other in zip(runs[1:], found[1:], strict=True):
        pair = f"{run.folder} and {runs[0].folder}"
        for what, of in aspects.items():
            if of(other) != of(first):
                raise ValueError(f"{pair} differ in their {what}: {of(other)}, {of(first)}")
        for each in first.targets:
            one, two = (p.columns[f"target{each}"].double() for p in (first, other))
            if not torch.allclose(one, two, rtol=1e-5, atol=1e-8, equal_nan=True):
                raise ValueError(f"{pair} have other targets: they are not of the same rows")
