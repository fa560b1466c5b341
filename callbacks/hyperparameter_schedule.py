"""Any number of an optimizer's settings on a schedule."""

import math
from typing import Any

from jsonargparse.typing import ClosedUnitInterval, NonNegativeInt, PositiveFloat
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from callbacks.lengths import Length, PositiveLength, batches, check_steps, known_length
from callbacks.optimizers import Kept, get_setting, named_optimizers, settings
from callbacks.schedules import OPTIONS, Name, Schedule
from recipes.parts.logs import is_logging_step


class HyperparameterSchedule(Callback):
    """Schedules one setting of the optimizers: Adam's beta2, weight decay, momentum.

        value(t) = to + (own - to) * m(t)

    where `own` is what the optimizer was made with and m the multiplier of `callbacks.schedules`:
    0 to 1, in unit of the setting. So the setting leaves `own` for `to` while m decays. One-cycle
    momentum (Smith 2018, section 4, https://arxiv.org/abs/1803.09820) is schedule one_cycle of
    `momentum`, weight decay that ends at zero is schedule linear. Counts batches, whatever steps
    the optimizers. Logs `optimizer/<optimizer>/<key>`.

    ```yaml
    - class_path: HyperparameterSchedule
      init_args: {key: beta2, to: 0.9999, schedule: linear, warmup: 0}
    ```

    Args:
        key: the setting, as torch names it: weight_decay, momentum, eps; beta1, beta2 for betas
        to: value that a multiplier of 0 stands for, in the setting's unit
        schedule: form of the decay from 1: constant; linear, cosine or polynomial to final;
            exponential; step, multistep: by gamma at a time; inverse_sqrt; one_cycle: up and down
            in cosines; wsd: warm-up, stable, decay. The formulas are in callbacks/schedules.py
        warmup: over which the multiplier rises linearly to 1: batches, or in units: 1000ba
            (batches), 5ep (epochs), 10% (of the length); by default 0, for one_cycle 30%
        length: of linear, cosine, polynomial, one_cycle, wsd, in which they reach final; like
            warmup, a percentage is of the run; by default 100%
        final: multiplier of the last batch of linear, cosine, polynomial, one_cycle, wsd, 0 to 1;
            by default 0
        start: multiplier that the warm-up begins above, 0 to 1; by default 0, for one_cycle 0.04
        gamma: factor of exponential, step, multistep, above 0; by default 0.1 for the last two
        every: length after which exponential and step multiply by gamma, like warmup
        milestones: lengths from the run's start at which multistep multiplies by gamma
        power: exponent of polynomial, (1 - x)^power, and wsd, 1 - x^power; by default 1; 0.5 makes
            wsd's decay 1 - sqrt(x)
        decay: length of wsd's decay, like warmup; by default 20%
        optimizers: numbers or names (as in the log keys: Adam, Adam-1) of those that are scheduled;
            by default all

    Raises:
        ValueError: if the schedule does not read an option that is given, or needs one that is
            not; if there is no such setting or optimizer; if the run's length is not known; if the
            warm-up, or the warm-up and the decay, are longer than the run; if something else sets
            the setting too
    """

    def __init__(
        self,
        key: str,
        to: float = 0.0,
        schedule: Name = "cosine",
        warmup: Length | None = None,
        length: PositiveLength | None = None,
        final: ClosedUnitInterval | None = None,
        start: ClosedUnitInterval | None = None,
        gamma: PositiveFloat | None = None,
        every: PositiveLength | None = None,
        milestones: list[Length] | None = None,
        power: PositiveFloat | None = None,
        decay: PositiveLength | None = None,
        optimizers: list[NonNegativeInt | str] | None = None,
    ) -> None:
        if key == "lr" and type(self) is HyperparameterSchedule:
            raise ValueError("key=lr: LRDecay schedules learning rates")
        self.key, self.to, self.schedule, self.selection = key, to, schedule, optimizers
        given = {"warmup": warmup, "length": length, "final": final, "start": start}
        given |= {"gamma": gamma, "every": every, "milestones": milestones}
        given |= {"power": power, "decay": decay}
        given = {name: value for name, value in given.items() if value is not None}
        self.options = {"warmup": 0, "start": 0.0} | OPTIONS[schedule]
        if unread := given.keys() - self.options.keys():
            known = ", ".join(self.options)
            raise ValueError(f"schedule {schedule} has no {', '.join(unread)}; it has {known}")
        self.options |= given
        if missing := [name for name, value in self.options.items() if value is None]:
            raise ValueError(f"schedule {schedule} needs {', '.join(missing)}")
        self.step = 0

    @property
    def state_key(self) -> str:
        # So that several may be in one run, and the later of two for one setting counts.
        return f"{type(self).__name__}{{{self.key}, {self.selection}}}"

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step = state_dict["step"]

    def resolve(self, trainer: Trainer, whole: int | None = None) -> Schedule:
        """The schedule in batches, from the trainer's length and data.

        Args:
            trainer: of a run that has begun
            whole: what percentages are of, in batches, by default the run
        """
        options, run = dict(self.options), whole or known_length(trainer)
        if "length" in options:
            whole = options["length"] = batches(options["length"], trainer, whole)
        for name in {"warmup", "every", "decay"} & options.keys():
            options[name] = batches(options[name], trainer, whole)
        if "every" in options:
            options["every"] = max(1, options["every"])  # in a dry run, 10% are none
        if "milestones" in options:
            options["milestones"] = tuple(batches(m, trainer, whole) for m in options["milestones"])
        schedule = Schedule(self.schedule, **options)
        if not trainer.fast_dev_run:
            self._check_fits(schedule, run or math.inf)
        return schedule

    def _check_fits(self, schedule: Schedule, run: float) -> None:
        """Refuses a schedule whose parts are longer than all of it, or than the run."""
        name, warmup, decay = type(self).__name__, schedule.warmup, schedule.decay
        if warmup > (length := min(schedule.length, run)):
            raise ValueError(
                f"{name}'s warmup={self.options['warmup']} is {warmup} batches, but there are "
                f"{length}: give a share of them, such as 5%"
            )
        if warmup + decay > schedule.length + 1:  # each is rounded
            raise ValueError(
                f"{name}'s warmup={self.options['warmup']} and decay={self.options['decay']} are "
                f"{warmup + decay} batches together, but there are {schedule.length}"
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Here optimizers are as they were made; those of a resumed run are restored after this.
        self.optimizers = named_optimizers(trainer, self.selection)
        self.own: dict[str, list[float]] = {}  # the setting of each parameter group
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                if self.key not in settings(group):
                    known = ", ".join(settings(group))
                    raise ValueError(f"key {self.key}: {name} has no such setting, but {known}")
            self.own[name] = [get_setting(group, self.key) for group in optimizer.param_groups]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.multiplier = self.resolve(trainer)
        self.kept = Kept(type(self).__name__, self.key)

    def value(self, own: float, optimizer: Optimizer) -> float:
        """The setting in the present batch, of a parameter group that was made with `own`."""
        return self.to + (own - self.to) * self.multiplier(self.step)

    def log_key(self, name: str) -> str:
        """Under which an optimizer's setting is logged."""
        return f"optimizer/{name}/{self.key}"

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        values, is_logged = {}, is_logging_step(trainer)
        for name, optimizer in self.optimizers.items():
            groups, owns = optimizer.param_groups, self.own[name]
            owns += [get_setting(group, self.key) for group in groups[len(owns) :]]  # added since
            self.kept.set(name, groups, [self.value(own, optimizer) for own in owns])
            if is_logged:
                values |= by_group(self.log_key(name), groups, self.key)
        if is_logged:
            pl_module.log_dict(values)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        self.step += 1
        check_steps(trainer, *self.options.values())


def by_group(log_key: str, groups: list[dict[str, Any]], key: str) -> dict[str, float]:
    """A setting under its log key; where groups differ in it, each below that, by name or number.

    Args:
        log_key: of the optimizer
        groups: its parameter groups
        key: of the setting
    """
    values = [get_setting(group, key) for group in groups]
    if len(set(values)) == 1:
        return {log_key: values[0]}
    names = [str(group.get("name", number)) for number, group in enumerate(groups)]
    return {f"{log_key}/{name}": value for name, value in zip(names, values, strict=True)}
