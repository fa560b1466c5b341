"""What the optimizers do: norms, update ratios, effective steps, moments."""

from typing import Any

import numpy as np
import torch
import wandb
from jsonargparse.typing import NonNegativeInt
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch.optim import Optimizer

from callbacks.hyperparameter_schedule import by_group
from callbacks.lengths import Length, batches
from callbacks.optimizer_stats.clipped import clipped
from callbacks.optimizer_stats.figures import HISTOGRAM
from callbacks.optimizer_stats.observation import Observer
from callbacks.optimizers import named_optimizers


class OptimizerStats(Callback):
    """Logs what every optimizer really did, in the first step of every n-th batch.

    Under `optimizer/<optimizer>/`, from the optimizer's own state and the parameters themselves:

    - `gradient_norm`: |g|, L2, before clipping; `parameter_norm`: |p|, before the step
    - `update_ratio`: |p_after - p_before| / |p_before|, the update that was really applied
    - `effective_step_q05`, `_q50`, `_q95`: quantiles over parameters of the size of the
      optimizer's own update, lr |m_hat| / (sqrt(v_hat) + eps) for Adam, in parameters' units; decay
      that is decoupled from the gradient is no part of it
    - `second_moment_q05` ...: quantiles of v_hat, in squared gradients
    - `momentum_cosine`: cosine between momentum and gradient, -1 to 1
    - `bias_correction1`, `bias_correction2`: 1 - beta^t, how far the moments' bias is gone, 0 to 1;
      `rectification` of RAdam
    - `clipped`: share of all steps since the last row whose gradient was clipped, 0 to 1; told
      from the norm that GradientClip has taken or, of Lightning's own clipping, from whether the
      smallest parameters' gradients became smaller
    - for LBFGS, `function_evaluations` so far and `step_length`

    and `lr/<optimizer>`. Knows all optimizers of torch.optim (the formulas, with their sources, are
    in callbacks/optimizer_stats/moments.py); of any other the effective step is the applied update.
    Parameters with sparse gradients are left out. Quantiles and the cosine are of a random sample
    of 4,096 parameters, the same in every row; W&B also gets their histograms, in decades (log10).
    One transfer from the device a row.

    ```yaml
    - class_path: OptimizerStats
      init_args: {every: 1ep, layers: true}
    ```

    Args:
        every: length between two rows: batches, or in units: 1000ba (batches), 5ep (epochs), 10%
            (of the run)
        layers: also norms, ratio, quantiles and cosine for every parameter tensor, by its share of
            the sample, under `<stat>/<parameter>`
        groups: likewise for every parameter group with a name, as `--model.groups` makes them,
            under `<stat>/<group>`
        histograms: of effective steps and second moments, where W&B is a logger
        optimizers: numbers or names (as in the log keys: Adam, Adam-1) of those that are observed;
            by default all

    Raises:
        ValueError: if there is no such optimizer
    """

    def __init__(
        self,
        every: Length = 100,
        layers: bool = False,
        groups: bool = False,
        histograms: bool = True,
        optimizers: list[NonNegativeInt | str] | None = None,
    ) -> None:
        self.every, self.layers, self.groups = every, layers, groups
        self.histograms, self.selection = histograms, optimizers
        self.step = 0
        self.observers: dict[str, Observer] = {}
        self.saved: dict[str, Any] = {}

    @property
    def state_key(self) -> str:
        return f"OptimizerStats{{{self.selection}}}"

    def state_dict(self) -> dict[str, Any]:
        for observer in self.observers.values():
            observer.count_clipped()
        counts = {
            name: {"is_due": o.is_due, "steps": o.steps, "clipped": float(o.clipped)}
            for name, o in self.observers.items()
        }
        return {"step": self.step, "counts": counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step, self.saved = state_dict["step"], state_dict["counts"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        histograms = self.histograms and any(isinstance(x, WandbLogger) for x in trainer.loggers)
        names = {p: name for name, p in pl_module.named_parameters()} if self.layers else {}
        self.observers = {
            name: Observer(
                optimizer,
                names,
                self.groups,
                clipped(trainer, pl_module, optimizer),
                histograms,
            )
            for name, optimizer in named_optimizers(trainer, self.selection).items()
        }

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.interval = max(1, batches(self.every, trainer))
        for name, observer in self.observers.items():
            observer.attach()
            if counts := self.saved.get(name):
                observer.is_due, observer.steps = counts["is_due"], counts["steps"]
                observer.clipped = torch.tensor(counts["clipped"])

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for observer in self.observers.values():
            observer.detach()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        is_due = (self.step + 1) % self.interval == 0
        for observer in self.observers.values():
            observer.forget_gradients()
            observer.is_due |= is_due

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        for observer in self.observers.values():
            if observer.optimizer is optimizer:
                if not (observer.is_due or observer.clipping):
                    continue
                scaler = getattr(trainer.precision_plugin, "scaler", None)
                # A fused optimizer unscales its gradients only in its own step.
                scaled = scaler and getattr(optimizer, "_step_supports_amp_scaling", False)
                observer.see_gradients(scaler.get_scale() if scaled else 1.0)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        self.step += 1
        if not any(observer.found for observer in self.observers.values()):
            return
        numbers, counts = {}, {}
        for name, observer in self.observers.items():
            if observer.found:
                numbers |= by_group(f"lr/{name}", observer.optimizer.param_groups, "lr")
                for key, value in observer.transfer().items():
                    kind = counts if isinstance(value, list) else numbers
                    kind[f"optimizer/{name}/{key}"] = value
        self._log(trainer, numbers, counts)

    def _log(
        self, trainer: Trainer, numbers: dict[str, float], counts: dict[str, list[float]]
    ) -> None:
        # Not by `self.log`, which keeps what is logged between the loggers' own steps for the next.
        step = trainer.fit_loop.epoch_loop._batches_that_stepped  # as LearningRateMonitor does
        bins, low, high = HISTOGRAM
        edges = np.linspace(low, high, bins + 1)
        for logger in trainer.loggers:
            values = numbers
            if self.histograms and isinstance(logger, WandbLogger):
                values = numbers | {
                    key: wandb.Histogram(np_histogram=(np.array(value), edges))
                    for key, value in counts.items()
                }
            logger.log_metrics(values, step=step)
