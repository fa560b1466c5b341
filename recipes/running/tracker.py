"""What W&B is told of a run's metrics: what they are drawn over, and what their summaries are."""

import os
from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from recipes.parts.keys import more_is_better


def definition(metric: str) -> dict[str, Any]:
    """How W&B shows a metric, as arguments of its `define_metric`.

    What validation measures is drawn over epochs and summarised by its best and its last value;
    the rest is drawn over batches, and only the last value kept. Everything can be drawn over
    `samples` too.

    Args:
        metric: log key
    """
    if not metric.startswith("val/"):
        return {"name": metric, "step_metric": "trainer/global_step"}
    # In a sweep, W&B optimizes the summary of this name, which must be a number: the last value.
    summary = f"{'max' if more_is_better(metric) else 'min'},last"
    in_sweep = "WANDB_SWEEP_ID" in os.environ
    return {"name": metric, "step_metric": "epoch", "summary": None if in_sweep else summary}


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
                self.experiment.define_metric(**definition(metric))
                self.defined.add(metric)
        super().log_metrics(metrics, step)
