"""Learning-rate warm-up and decay, counted in batches, as a pure function of the step."""

import math
from typing import Any, Literal

from jsonargparse.typing import ClosedUnitInterval, NonNegativeInt
from lightning.pytorch import Callback, LightningModule, Trainer

from recipes.logs import is_logging_step

Schedule = Literal["constant", "linear", "cosine"]


def multiplier(step: int, length: int, schedule: Schedule, warmup: int, final: float) -> float:
    """What the learning rate is multiplied by in one step: no unit, 0 to 1.

    Warm-up rises linearly, (t + 1) / warmup, so that no step is wasted on a rate of zero. Then,
    with x = (t - warmup) / (length - 1 - warmup) from 0 to 1 in the last step,

        linear:  1 + (final - 1) x
        cosine:  final + (1 - final) (1 + cos(pi x)) / 2    (Loshchilov & Hutter 2017, eq. 5)

    Args:
        step: t, batches trained on before this one
        length: batches in the whole run; beyond it the multiplier stays at `final`
        schedule: the form of the decay
        warmup: batches of warm-up
        final: multiplier of the last step
    """
    if step < warmup:
        return (step + 1) / warmup
    x = min(1.0, (step - warmup) / max(1, length - 1 - warmup))
    if schedule == "linear":
        return 1 + (final - 1) * x
    if schedule == "cosine":
        return final + (1 - final) * (1 + math.cos(math.pi * x)) / 2
    return 1.0


def run_length(trainer: Trainer) -> int:
    """Batches that the run will train on, from `max_epochs` and `max_steps`.

    Raises:
        ValueError: if neither bounds the run
    """
    bounds = []
    if trainer.max_epochs is not None and trainer.max_epochs != -1:
        bounds.append(trainer.max_epochs * trainer.num_training_batches)
    if trainer.max_steps != -1:
        accumulated, epoch = trainer.accumulate_grad_batches, trainer.num_training_batches
        if epoch == math.inf:
            bounds.append(trainer.max_steps * accumulated)
        else:  # an epoch's last step accumulates what is left of it
            epochs, steps = divmod(trainer.max_steps, math.ceil(epoch / accumulated))
            bounds.append(epochs * epoch + steps * accumulated)
    if not bounds or min(bounds) == math.inf:
        raise ValueError("LRDecay needs --trainer.max_epochs or --trainer.max_steps to decay to")
    return int(min(bounds))


class LRDecay(Callback):
    """Warms the learning rates of all optimizers up, then decays them until the run ends.

    Counts batches, whatever steps the optimizers, so that it means the same under automatic and
    manual optimization and under accumulation. Logs `lr/<optimizer>`, the rate of the optimizer's
    last parameter group; a second optimizer is numbered, as in `lr/Adam-1`.

    Args:
        schedule: the form of the decay from the peak to `final`: constant, linear or cosine
        warmup: batches over which the rate rises linearly from nearly 0 to its peak
        final: the last batch's rate, as a share of the peak, 0 to 1
    """

    def __init__(
        self,
        schedule: Schedule = "cosine",
        warmup: NonNegativeInt = 0,
        final: ClosedUnitInterval = 0.0,
    ) -> None:
        self.schedule, self.warmup, self.final = schedule, warmup, final
        self.step = 0

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step = state_dict["step"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.length = run_length(trainer)
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                # The optimizer's state carries it into a resumed run, as torch's schedulers do.
                group.setdefault("initial_lr", group["lr"])

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        factor = multiplier(self.step, self.length, self.schedule, self.warmup, self.final)
        rates = {}
        for number, optimizer in enumerate(trainer.optimizers):
            name = f"lr/{type(optimizer).__name__}" + (f"-{number}" if number else "")
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
                rates[name] = group["lr"]
        if is_logging_step(trainer):
            pl_module.log_dict(rates)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        self.step += 1
