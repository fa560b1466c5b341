"""A trainer's optimizers: their names, their settings, and their updates."""

from collections.abc import Callable

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

# Of a parameter group that Unfreeze holds at a rate of 0: true, or FOR_GOOD.
FROZEN, FOR_GOOD = "frozen", "for good"


def named_optimizers(
    trainer: Trainer, selection: list[int | str] | None = None
) -> dict[str, Optimizer]:
    """The optimizers by the names that they have in log keys: Adam, SGD, and Adam-1 for a second.

    Args:
        trainer: of a run that has begun
        selection: numbers or names of some of them, by default all

    Raises:
        ValueError: if there is no such optimizer
    """
    everything = {
        type(optimizer).__name__ + (f"-{number}" if number else ""): optimizer
        for number, optimizer in enumerate(trainer.optimizers)
    }
    if selection is None:
        return everything
    names = list(everything)
    chosen = {}
    for item in selection:
        name = names[item] if isinstance(item, int) and item < len(names) else item
        if name not in everything:
            raise ValueError(f"optimizers: there is no {item}, but {', '.join(names)}")
        chosen[name] = everything[name]
    return chosen


def refuse_schedulers(trainer: Trainer, callback: str) -> None:
    """Raises ValueError if the module schedules its learning rates itself, or SWA does."""
    if trainer.lr_scheduler_configs:
        name = type(trainer.lightning_module).__name__
        raise ValueError(f"{callback} and the lr_scheduler of {name} would both set the rate")
    for other in trainer.callbacks:
        if isinstance(other, StochasticWeightAveraging):
            raise ValueError(
                f"{type(other).__name__} and {callback} would both set the rate, and the average "
                f"be of weights that {callback} holds still: EMA averages beside it, or leave "
                f"{callback} out of trainer.callbacks"
            )


class Kept:
    """A setting of optimizers that nobody else may set.

    Args:
        callback: whose it is, for the message
        key: of the setting
    """

    def __init__(self, callback: str, key: str) -> None:
        self.callback, self.key = callback, key
        self.last: dict[str, list[float | None]] = {}  # what each parameter group was set to

    def set(self, name: str, groups: list[dict], values: list[float]) -> None:
        """Sets the setting of an optimizer's parameter groups.

        Args:
            name: of the optimizer
            groups: all of its
            values: to set, one a group

        Raises:
            ValueError: if one is no more what was set here the last time
        """
        # Unfreeze sets those of frozen groups to 0, and back.
        is_held = [self.key == "lr" and is_frozen(group) for group in groups]
        values = [0.0 if held else value for held, value in zip(is_held, values, strict=True)]
        for group, last in zip(groups, self.last.get(name, []), strict=False):
            if last is not None and (found := get_setting(group, self.key)) != last:
                raise ValueError(
                    f"{self.callback} set {self.key} of {name} to {last:g}, and something else to "
                    f"{found:g}: only one may set it"
                )
        for group, value in zip(groups, values, strict=True):
            set_setting(group, self.key, value)
        # To look at one on a device would wait for it.
        self.last[name] = [
            None if held or is_on_device(group.get(self.key)) else get_setting(group, self.key)
            for group, held in zip(groups, is_held, strict=True)
        ]


def get_setting(group: dict, key: str) -> float:
    """One number of a parameter group; beta1 and beta2 are the two of its betas."""
    value = group["betas"][int(key[-1]) - 1] if key in ("beta1", "beta2") else group[key]
    return float(value)


def set_setting(group: dict, key: str, value: float) -> None:
    """Sets one number of a parameter group, in place where it is a tensor, as for CUDA graphs."""
    if key in ("beta1", "beta2"):
        first, second = group["betas"]
        group["betas"] = (value, second) if key == "beta1" else (first, value)
    elif isinstance(group[key], Tensor):
        group[key].fill_(value)
    else:
        group[key] = value


def settings(group: dict) -> list[str]:
    """The keys of a parameter group's numbers."""
    keys = [k for k, v in group.items() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    tensors = [key for key, v in group.items() if isinstance(v, Tensor) and v.ndim == 0]
    return [*keys, *tensors, *(("beta1", "beta2") if "betas" in group else ())]


def set_lr_scale(optimizer: Optimizer, scale: float) -> None:
    """Sets what LRDecay multiplies an optimizer's rates by; no part of the optimizer's state."""
    optimizer._lr_scale = scale


def lr_scale(optimizer: Optimizer) -> float:
    """What was set by `set_lr_scale`, or 1."""
    return getattr(optimizer, "_lr_scale", 1.0)


def is_frozen(group: dict) -> bool:
    """Whether Unfreeze holds a parameter group."""
    return bool(group.get(FROZEN))


def is_frozen_for_good(group: dict) -> bool:
    """Whether Unfreeze never lets a parameter group be trained."""
    return group.get(FROZEN) == FOR_GOOD


def parameters(optimizer: Optimizer) -> list[Tensor]:
    """The parameters of all of an optimizer's groups."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def has_gradient(parameter: Tensor) -> bool:
    """Whether it has one, that is not sparse."""
    return parameter.grad is not None and not parameter.grad.is_sparse


def is_on_device(value: object) -> bool:
    """Whether it is a tensor on a device, which to look at would wait for."""
    return isinstance(value, Tensor) and value.device.type != "cpu"


def is_zero(rate: float | Tensor) -> bool:
    """Whether it is 0 on the host, as torch's own is; one on a device is not looked at."""
    return not is_on_device(rate) and float(rate) == 0


def after_updates(trainer: Trainer, function: Callable[[Optimizer], None]) -> list[RemovableHandle]:
    """Calls function(optimizer) after each step of each optimizer, however it is stepped.

    So before anything that callbacks do at the end of the batch, such as averaging. The function
    may change only this optimizer's parameters: another's may wait for their backward pass.

    A step at rates of zero is no update. torch makes one to fill the empty state of an optimizer
    that it saves or loads with sharded weights, and a resumed run would be one call ahead.

    Returns:
        handles whose `remove` ends it
    """

    def hook(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        if not all(is_zero(group.get("lr", 1.0)) for group in optimizer.param_groups):
            function(optimizer)

    return [optimizer.register_step_post_hook(hook) for optimizer in trainer.optimizers]
