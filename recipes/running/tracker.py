"""The logger of W&B, which is told how each metric is shown."""

import os
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from recipes.parts.keys import wandb_definition

MODES = ("online", "offline", "disabled", "shared", "dryrun", "run")  # the last two are old names


def check_mode() -> None:
    """Takes an empty WANDB_MODE for none, as W&B does not.

    Raises:
        ValueError: if it is no mode of W&B's
    """
    mode = os.environ.get("WANDB_MODE")
    if mode == "":
        del os.environ["WANDB_MODE"]
    elif mode and mode not in MODES:
        raise ValueError(f"WANDB_MODE={mode}: choose from {', '.join(MODES[:4])}")


class WandbRun(WandbLogger):
    """Lightning's WandbLogger, which defines each metric when it is first logged.

    W&B takes patterns of names too, but Lightning's own, for all names, is the one that counts.

    Args:
        args, kwargs: as for Lightning's
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Lightning's
        super().__init__(*args, **kwargs)
        self.defined = {"epoch", "samples"}  # what others are drawn over

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        for metric in metrics:
            if metric not in self.defined:
                self.experiment.define_metric(**wandb_definition(metric))
                self.defined.add(metric)
        super().log_metrics(metrics, step)
