"""A learning rate that follows the loss."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jsonargparse.typing import (
    ClosedUnitInterval,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    restricted_number_type,
)
from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.hyperparameter_schedule import by_group
from callbacks.lr_decay import LRDecay
from callbacks.optimizers import (
    Kept,
    get_setting,
    named_optimizers,
    refuse_schedulers,
    set_lr_scale,
)
from recipes.parts.logs import is_logging_step

# With an upper bound: jsonargparse refuses a second type of the same restriction.
AT_LEAST_ONE = [(">=", 1), ("<", math.inf)]
Factor = restricted_number_type("Factor", float, AT_LEAST_ONE, docstring="a number of at least 1")


@dataclass
class State:
    """What the rule remembers.

    Attributes:
        scale: what the learning rate is multiplied by
        best: lowest value so far; after a rise of the rate, the value then
        stalled: decisions in a row that were small or no better than the best
        grown: decisions in a row that were worse than the best
        rest: decisions until the next that counts
    """

    scale: float = 1.0
    best: float = math.inf
    stalled: int = 0
    grown: int = 0
    rest: int = 0


@dataclass(frozen=True)
class Rule:
    """When the rate goes down or up; the arguments are those of `LossDrivenLR`."""

    factor: float = 0.5
    factor_up: float = 1.0
    patience: int = 10
    cooldown: int = 0
    threshold: float = 1e-4
    small: float = -math.inf
    min_scale: float = 0.0
    max_scale: float = 1.0

    def __call__(self, state: State, value: float) -> State:
        """The state after one more value.

        With margin = threshold |best|, a value is better below best - margin, grown above
        best + margin (if a rate may rise), and otherwise stalled; so is any below `small`.
        """
        margin = self.threshold * abs(state.best) if math.isfinite(state.best) else 0.0
        low, better = value < self.small, value < state.best - margin
        grown = self.factor_up > 1 and value > state.best + margin and not low
        stalled = low or not (better or grown)
        best = value if better else state.best
        scale, rest = state.scale, state.rest
        stalls = state.stalled + 1 if stalled else 0
        growths = state.grown + 1 if grown else 0
        if rest > 0:
            rest, stalls, growths = rest - 1, 0, 0
        if stalls > self.patience:
            scale = max(self.min_scale, scale * self.factor)
            stalls, rest = 0, self.cooldown
        elif growths > self.patience:
            scale = min(self.max_scale, scale * self.factor_up)
            growths, rest, best = 0, self.cooldown, value
        return State(scale, best, stalls, growths, rest)


class LossDrivenLR(Callback):
    """Lowers learning rates when a loss stalls or is small, and raises them when it grows.

        lr = peak * scale,   scale <- scale * factor      after `patience` values in a row of no
                                                          improvement, or below `small`
                             scale <- scale * factor_up   after as many that have grown

    A value is an improvement if it is below the best by more than threshold * |best|, and has grown
    if it is above by as much. Without factor_up and small this is torch's ReduceLROnPlateau, in
    any unit of time. With them it balances two networks: a discriminator learns more slowly while
    its loss is small, and faster again when it grows.

    At interval epoch the value is a metric as it was logged; at interval batch it is the average of
    training losses, weighted by 2^(-age / half_life). Averages over processes. Logs
    `lr/<optimizer>`.

    ```yaml
    - class_path: LossDrivenLR
      init_args: {monitor: loss, interval: batch, every: 4, half_life: 8, factor_up: 1.5}
    ```

    Args:
        monitor: at interval epoch a log key; at interval batch `loss`, what the training step
            returns, or a key of the dict that it returns; or a log key, which is read in the steps
            that the loggers keep (--trainer.log_every_n_steps)
        interval: of what the values are: epoch or batch
        every: epochs or batches between two values that are compared; epochs without a validation
            do not count for a val/ metric
        half_life: after which a batch's loss has half its weight, in values read
        mode: min, or max for a metric that grows when it improves
        factor: that lowers the rate, 0 to 1
        factor_up: that raises the rate, at least 1, which leaves it
        patience: values that may stall or grow before the rate changes
        cooldown: values after a change that do not count
        threshold: change that matters, as a share of the best value
        small: value below which (mode max: above which) the rate is lowered; in the metric's unit
        min_scale: lowest value of the scale, 0 or above
        max_scale: highest value of the scale, by default that of the optimizer's own rate
        multiply: scale what LRDecay makes of the same optimizer; otherwise sharing it is refused
        optimizers: numbers or names (as in the log keys: Adam, Adam-1); by default all

    Raises:
        ValueError: if nothing of the monitored name is logged; if an optimizer has an LRDecay and
            multiply is false, or another LossDrivenLR
    """

    def __init__(
        self,
        monitor: str = "val/loss",
        interval: Literal["batch", "epoch"] = "epoch",
        every: PositiveInt = 1,
        half_life: PositiveFloat = 100.0,
        mode: Literal["min", "max"] = "min",
        factor: ClosedUnitInterval = 0.5,
        factor_up: Factor = 1.0,
        patience: NonNegativeInt = 10,
        cooldown: NonNegativeInt = 0,
        threshold: NonNegativeFloat = 1e-4,
        small: float | None = None,
        min_scale: NonNegativeFloat = 0.0,
        max_scale: PositiveFloat = 1.0,
        multiply: bool = False,
        optimizers: list[NonNegativeInt | str] | None = None,
    ) -> None:
        self.monitor, self.interval, self.every = monitor, interval, every
        self.keep = 0.5 ** (1 / half_life)
        self.sign = -1.0 if mode == "max" else 1.0
        low = -math.inf if small is None else self.sign * small
        bounds = (min_scale, max_scale)
        self.rule = Rule(factor, factor_up, patience, cooldown, threshold, low, *bounds)
        self.multiply, self.selection = multiply, optimizers
        self.state = State()
        self.count = 0  # epochs or batches
        self.weight, self.average = 0.0, torch.tensor(0.0)
        self.latest: float | None = None  # of the metric, at interval epoch
        self.is_validated = False  # whether there was a validation in this epoch

    @property
    def state_key(self) -> str:
        # So that several may be in one run, one a monitored key and set of optimizers.
        return f"LossDrivenLR{{{self.monitor}, {self.selection}}}"

    def state_dict(self) -> dict[str, Any]:
        smoothed = {"weight": self.weight, "average": float(self.average)}
        metric = {"latest": self.latest, "is_validated": self.is_validated}
        return {"count": self.count, **smoothed, **metric, "state": asdict(self.state)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count, self.weight = state_dict["count"], state_dict["weight"]
        self.average = torch.tensor(state_dict["average"])
        self.state, self.latest = State(**state_dict["state"]), state_dict["latest"]
        self.is_validated = state_dict["is_validated"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Here optimizers are as they were made; those of a resumed run are restored after this.
        refuse_schedulers(trainer, "LossDrivenLR")
        self.optimizers = named_optimizers(trainer, self.selection)
        self.own = {
            name: [get_setting(group, "lr") for group in optimizer.param_groups]
            for name, optimizer in self.optimizers.items()
        }
        others = [c for c in trainer.callbacks if isinstance(c, (LRDecay, LossDrivenLR))]
        self.shared: set[str] = set()  # whose rate LRDecay sets
        for other in others:
            both = self.optimizers.keys() & named_optimizers(trainer, other.selection).keys()
            if isinstance(other, LRDecay):
                self.shared |= both
            elif both and other is not self:
                raise ValueError(f"two LossDrivenLR scale the rate of {', '.join(both)}")
        if self.shared and not self.multiply:
            names = ", ".join(sorted(self.shared))
            raise ValueError(
                f"LRDecay and LossDrivenLR both set the rate of {names}: LossDrivenLR's "
                "multiply=true multiplies the two"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.kept = Kept("LossDrivenLR", "lr")
        self._scale()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        rates, is_logged = {}, is_logging_step(trainer)
        for name, optimizer in self.optimizers.items():
            if name not in self.shared:
                groups, owns = optimizer.param_groups, self.own[name]
                owns += [get_setting(group, "lr") for group in groups[len(owns) :]]  # added since
                self.kept.set(name, groups, [own * self.state.scale for own in owns])
                if is_logged:
                    rates |= by_group(f"lr/{name}", groups, "lr")
        if rates:
            pl_module.log_dict(rates)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, *args: object
    ) -> None:
        if self.interval != "batch":
            return
        value = self._of_step(trainer, outputs)
        if value is not None:  # on the device, the host does not wait for it
            value = trainer.strategy.reduce(value, reduce_op="mean")
            self.weight = self.keep * self.weight + 1
            self.average = self.average.to(value) + (value - self.average.to(value)) / self.weight
        self.count += 1
        if self.count % self.every == 0 and self.weight:
            self._decide(trainer, self.average)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A checkpoint saved here is resumed before the epoch's end, and metrics are not restored.
        if not trainer.sanity_checking:
            self.is_validated = True
            if self.monitor in trainer.callback_metrics:
                self.latest = float(trainer.callback_metrics[self.monitor])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.interval != "epoch":
            return
        is_new, self.is_validated = self.is_validated, False
        if self.monitor.startswith("val/") and not is_new:
            return  # of an epoch without validation, --trainer.check_val_every_n_epoch
        self.count += 1
        if self.count % self.every == 0:
            if self.monitor in trainer.callback_metrics or self.latest is None:
                self.latest = float(logged(trainer, self.monitor))
            self._decide(trainer, torch.tensor(self.latest, device=pl_module.device))

    def _of_step(self, trainer: Trainer, outputs: object) -> torch.Tensor | None:
        """The monitored value of the batch just trained on, if it has one."""
        values = outputs if isinstance(outputs, dict) else {"loss": outputs}
        if isinstance(values.get(self.monitor), torch.Tensor):
            value = values[self.monitor].detach().float().mean()
            # Lightning divides the loss by it.
            return value * (trainer.accumulate_grad_batches if self.monitor == "loss" else 1)
        if self.monitor == "loss" or not is_logging_step(trainer):
            return None  # a step that was skipped has no loss
        return logged(trainer, self.monitor).float()

    def _decide(self, trainer: Trainer, value: torch.Tensor) -> None:
        mean = trainer.strategy.reduce(value.detach().clone(), reduce_op="mean")
        self.state = self.rule(self.state, self.sign * float(mean))
        self._scale()

    def _scale(self) -> None:
        for optimizer in self.optimizers.values():
            set_lr_scale(optimizer, self.state.scale)


def logged(trainer: Trainer, key: str) -> torch.Tensor:
    """The latest value that was logged under a key.

    Raises:
        ValueError: if there is none
    """
    if key not in trainer.callback_metrics:
        known = ", ".join(sorted(trainer.callback_metrics)) or "nothing"
        raise ValueError(f"LossDrivenLR: monitor {key} is not logged, but {known}")
    return trainer.callback_metrics[key]
