"""Gradual unfreezing: which layers are trained from when on."""

import copy
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.utilities import rank_zero_info
from torch import nn
from torch.optim import LBFGS, Optimizer

from callbacks.lengths import Length, batches, check_steps, known_length
from callbacks.optimizers import (
    FOR_GOOD,
    FROZEN,
    get_setting,
    is_frozen,
    refuse_schedulers,
    set_setting,
)
from callbacks.unfreeze.layers import Layers
from callbacks.unfreeze.stateless import without_state
from recipes.parts.groups import NETWORK, is_named
from recipes.parts.weight_files import WRAPPERS


class Unfreeze(Callback):
    """Trains each layer from a step of its own on; until then it stays bit for bit as it is.

    Gradual unfreezing (Howard & Ruder 2018, section 3.3, https://arxiv.org/abs/1801.06146) is a
    schedule of several layers, a linear probe one of the head alone. What no pattern matches stays
    frozen. A frozen parameter has no gradient, so that neither weight decay nor momentum moves it,
    and a rate of 0; its layer is in evaluation mode: the statistics of batch-norm stand still, and
    dropout is off. A layer without parameters, such as dropout, that no pattern matches is trained
    when all parameters of the module around it are.

    The optimizer's groups are split by the schedule before the first step, and logged by name. On
    several processes frozen layers stay in the graph, as DDP and FSDP fix then what they reduce,
    and their gradients are dropped; on one they are not differentiated.

    ```yaml
    - class_path: Unfreeze
      init_args: {schedule: {head: 0, features: 2ep}}
    ```

    Args:
        schedule: the length of training before each layer is trained: batches, or in units: 1000ba
            (batches), 2ep (epochs), 10% (of the run); at least one is 0. The longest pattern
            that matches counts; patterns are those of `recipes/parts/groups.py`: head, "blocks.3",
            "*.bias", /regular expression/
        module: the sub-module's attribute name in the LightningModule that is frozen, for example
            generator; by default all of it

    Raises:
        ValueError: if a pattern matches nothing, nothing is trained from the start, there is no
            such sub-module, or the optimizer is LBFGS, or has a scheduler of the module's own; of a
            resumed run, if what it trains already gets another length
    """

    def __init__(self, schedule: dict[str, Length], module: str = "") -> None:
        if all(float(str(length).rstrip("epba%")) for length in schedule.values()):
            raise ValueError("Unfreeze's schedule: nothing is trained from the start: give a 0")
        self.schedule, self.module = schedule, module
        self.step, self.starts = 0, []
        # Of the run that is gone on with: each pattern's length as given, and in batches.
        self.before: dict[str, tuple[Length, int]] = {}

    @property
    def state_key(self) -> str:
        return f"Unfreeze{{{self.module}}}"

    def state_dict(self) -> dict[str, Any]:
        starts = zip(self.schedule.items(), self.starts, strict=False)  # none before a fit
        return {"step": self.step, "starts": {k: (length, start) for (k, length), start in starts}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step, self.before = state_dict["step"], state_dict["starts"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Before those that look at the optimizers' groups.
        others = [callback for callback in trainer.callbacks if callback is not self]
        trainer.callbacks = [self, *others]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Here optimizers are as they were made; those of a resumed run are restored after this.
        refuse_schedulers(trainer, "Unfreeze")
        if self.module not in dict(pl_module.named_modules()):
            known = ", ".join(name for name, _ in pl_module.named_children())
            raise ValueError(f"Unfreeze's module={self.module}: there is no such, but {known}")
        root = pl_module.get_submodule(self.module)
        learned = {p for o in trainer.optimizers for g in o.param_groups for p in g["params"]}
        found = root.named_parameters()
        # Each parameter's place in the schedule; behind the last: it is never trained.
        self.places = {p: self._place(root, name) for name, p in found if p in learned}
        for place, pattern in enumerate(self.schedule):
            if place not in self.places.values():
                raise ValueError(f"Unfreeze's schedule: {pattern}: no such parameter is trained")
        self.layers = Layers(root, self.places, lambda name: self._place(root, name))
        self.needed = {p: p.requires_grad for p in self.places}
        # Others have fixed what they reduce, and would wait for it.
        self.is_cut = isinstance(trainer.strategy, SingleDeviceStrategy)
        self.own = [self._split(optimizer) for optimizer in trainer.optimizers]
        self.frozen: set[int] | None = None  # places in the schedule
        for parameter in without_state(trainer, pl_module):
            parameter.requires_grad_(False)

    def _place(self, root: nn.Module, name: str) -> int:
        """The place of the longest pattern that matches a parameter or layer, by its name."""
        clean = WRAPPERS.sub("", name)
        first, _, inner = clean.partition(".")
        names = [clean] if self.module else [clean, inner]
        if not self.module and isinstance(getattr(root, first, None), nn.ModuleList):
            names.append(inner.partition(".")[2])  # of one of several equal networks
        found = [
            (len(pattern), -place)
            for place, pattern in enumerate(self.schedule)
            if any(is_named(pattern, each) for each in names if each)
        ]
        return -max(found)[1] if found else len(self.schedule)

    def _split(self, optimizer: Optimizer) -> list[float]:
        """Splits an optimizer's groups, so that none has parameters of two places.

        Returns:
            the rate that each was made with
        """
        if isinstance(optimizer, LBFGS):
            raise ValueError("Unfreeze: LBFGS searches along all parameters at once")
        groups: list[dict[str, Any]] = []
        for number, group in enumerate(optimizer.param_groups):
            parts: dict[int | None, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                parts.setdefault(self.places.get(parameter), []).append(parameter)
            network = group.get(NETWORK, group.get("name", number))
            for place, parameters in sorted(
                parts.items(), key=lambda part: (part[0] is None, part)
            ):
                name = [*self.schedule, "frozen"][place] if place is not None else "others"
                names = [group["name"], name] if "name" in group else [name]
                named = {"params": parameters, "name": ".".join(names), NETWORK: network}
                # A rate that is a tensor is changed in place.
                groups.append(copy.deepcopy(group | {"params": []}) | named)
        optimizer.param_groups[:] = groups
        return [get_setting(group, "lr") for group in groups]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for parameter, is_needed in self.needed.items():
            parameter.requires_grad_(is_needed)
        self.starts = [self._start(trainer, *given) for given in self.schedule.items()]
        is_of_no_file = getattr(getattr(pl_module, "start", None), "read", None) == {}
        if is_of_no_file and not trainer.ckpt_path:
            rank_zero_info("Unfreeze: what is frozen is as initialised: give it --model.weights")

    def _start(self, trainer: Trainer, pattern: str, length: Length) -> int:
        """The batch that a pattern's layers are trained from; what has begun stays as it was.

        Raises:
            ValueError: if a resumed run has begun with it by another length
        """
        start, end = batches(length, trainer), known_length(trainer)
        given, before = self.before.get(pattern, (length, start))
        if before < self.step:
            if given != length:
                said = f"Unfreeze's schedule: {pattern}: {length}: the run has trained it from"
                raise ValueError(f"{said} {given} on")
            start = before  # a share of a run that has become longer is later
        if end is not None and start >= end:
            said = f"{length} is behind the run's end: it stays frozen"
            rank_zero_info(f"Unfreeze: {pattern}: {said}")
        return start

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        frozen = {place for place, start in enumerate(self.starts) if self.step < start}
        frozen.add(len(self.starts))
        # Not between the batches of one step, whose gradients are added.
        is_new_step = batch_idx % trainer.accumulate_grad_batches == 0
        if self.frozen is None or (frozen != self.frozen and is_new_step):
            self.frozen = frozen
            for parameter, place in self.places.items():
                if self.is_cut:
                    parameter.requires_grad_(self.needed[parameter] and place not in frozen)
            self.layers.thaw(frozen)
        self.layers.freeze()  # in every batch, as anything may have called train()
        for optimizer, rates in zip(trainer.optimizers, self.own, strict=True):
            for group, own in zip(optimizer.param_groups, rates, strict=False):
                self._set_rate(group, own)

    def _set_rate(self, group: dict[str, Any], own: float) -> None:
        place, was_frozen = self._of(group), is_frozen(group)
        group[FROZEN] = FOR_GOOD if place == len(self.starts) else place in self.frozen
        if group[FROZEN]:
            set_setting(group, "lr", 0.0)
        elif was_frozen:
            set_setting(group, "lr", own)

    def _of(self, group: dict[str, Any]) -> int | None:
        """A group's place in the schedule; None of what is not frozen here."""
        return next((self.places.get(parameter) for parameter in group["params"]), None)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for parameter, place in self.places.items():
            if place in self.frozen:
                parameter.grad = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        self.step += 1
        check_steps(trainer, *self.schedule.values())

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not hasattr(self, "layers"):
            return
        for parameter, is_needed in self.needed.items():
            parameter.requires_grad_(is_needed)
        self.layers.thaw(set())
