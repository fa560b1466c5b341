"""What a run tells of its evaluation: values in the log, a line at the end, and a file."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from recipes.parts.evaluation.bars import below, silent
from recipes.parts.evaluation.base import Evaluation
from recipes.parts.files import replace_file
from recipes.parts.keys import dotted
from recipes.parts.logs import split_of


def begin(module: LightningModule, evaluation: Evaluation | None) -> None:
    """Prepares an evaluation, if there is one, for the first batch of a validation or test."""
    if evaluation is not None:
        evaluation.prepare(module.trainer.datamodule, split_of(module.trainer))


def log_values(module: LightningModule, evaluation: Evaluation | None) -> None:
    """Logs an evaluation's values as `val/<name>` or `test/<name>`, and resets it.

    Lightning's sanity check, which sees a few batches only, gets the names without values.

    Args:
        module: whose samples are evaluated
        evaluation: has all batches of the split; None: nothing to log
    """
    if evaluation is None:
        return
    if module.trainer.sanity_checking:
        values = dict.fromkeys(evaluation.names, math.nan)
    else:
        evaluation.track = below(module.trainer)
        values = evaluation.compute()
        evaluation.track = silent
    split = split_of(module.trainer)
    module.log_dict({f"{split}/{name}": value for name, value in values.items()}, sync_dist=True)
    evaluation.reset()


def summary(metrics: Mapping[str, Tensor]) -> str:
    """The last validation in one line: `validation: ` and what `with_floors` tells."""
    return f"validation: {with_floors(metrics)}"


def with_floors(metrics: Mapping[str, Tensor]) -> str:
    """Values of a validation, each with its floor: kid_pixels 0.0012 (floor 0.0003), ..."""
    found = {name.removeprefix("val/"): value for name, value in metrics.items()}
    floors = {
        name: f" (floor {found.pop(f'{name}_floor'):.4g})"
        for name in [name.removesuffix("_floor") for name in found if name.endswith("_floor")]
    }
    return ", ".join(f"{name} {value:.4g}{floors.get(name, '')}" for name, value in found.items())


def record(trainer: Trainer, evaluation: Evaluation | None) -> None:
    """Keeps what an evaluation depends on with the run: its loggers' config, and evaluation.json.

    Args:
        trainer: of a fit that has ended; without validation nothing was evaluated
        evaluation: whose facts are kept, if there is one
    """
    validated = any(name.startswith("val/") for name in trainer.callback_metrics)
    if evaluation is None or not (trainer.is_global_zero and validated):
        return
    facts = evaluation.facts
    for logger in trainer.loggers:
        logger.log_hyperparams(dotted({"run": {"evaluation": facts}}))
    if facts and not trainer.fast_dev_run:
        folder = Path(trainer.default_root_dir)
        replace_file(folder / "evaluation.json", json.dumps(facts, indent=1) + "\n")
