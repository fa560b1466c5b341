"""Gradual magnitude pruning."""

from typing import Any

import torch
from jsonargparse.typing import ClosedUnitInterval, PositiveInt
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.utils.prune import L1Unstructured
from torch.optim import Optimizer

from callbacks.ema import EMA
from callbacks.l1 import weight_tensors
from callbacks.lengths import Length, batches, check_steps
from callbacks.optimizers import after_updates, is_frozen, is_frozen_for_good, parameters
from recipes.parts.averages import placed, whole
from recipes.parts.logs import is_logging_step


def sparsity(step: int, start: int, end: int, final: float) -> float:
    """Share of weights that are zero: final (1 - (1 - (t - start) / (end - start))^3), 0 to final.

    Zhu & Gupta 2018, equation 1, from an initial sparsity of 0.

    Args:
        step: t, batches trained on
        start: batch at which pruning begins
        end: batch from which it is `final`
        final: share of weights
    """
    x = min(1.0, max(0, step - start) / max(1, end - start))
    return final * (1 - (1 - x) ** 3)


class Prune(Callback):
    """Sets a growing share of the smallest weights to zero, for good.

        share(t) = final (1 - (1 - (t - start) / (end - start))^3)

    (Zhu & Gupta 2018, "To prune, or not to prune", equation 1), of all weights of the sub-module
    together, by torch.nn.utils.prune's L1 magnitude. Biases and the scales of normalisation stay.
    The masks are applied in place, after every update, to the weights and to their `EMA`: they have
    their own names in checkpoints, and what is exported is pruned. torch's reparametrisation, which
    trains the same weights, would rename them to `weight_orig`.

    The best validation (`best.ckpt`) is the best of those since all of this was pruned.

    Only weights that an optimizer trains; those that `Unfreeze` holds are chosen from once it lets
    them go. Logs `sparsity`, the share that is masked of those it chose from last, 0 to 1.
    Weights that are sharded over processes are gathered for each choice, and their masks sharded.

    ```yaml
    - class_path: Prune
      init_args: {final: 0.9, start: 10%, end: 80%, module: network}
    ```

    Args:
        final: share of weights that are zero in the end, 0 to 1
        start: length before pruning: batches, or in units: 1000ba (batches), 5ep (epochs), 10% (of
            the run)
        end: length after which the share is final, like start
        every: batches between two choices of what else is pruned (the paper: 100 to 1000)
        module: the sub-module's attribute name in the LightningModule; by default all of it

    Raises:
        ValueError: if there is no such sub-module
    """

    def __init__(
        self,
        final: ClosedUnitInterval,
        start: Length = "0%",
        end: Length = "75%",
        every: PositiveInt = 100,
        module: str = "",
    ) -> None:
        self.final, self.start, self.end, self.every, self.module = final, start, end, every, module
        self.step = 0
        self.share = 0.0
        self.masks: dict[str, Tensor] = {}
        self.trained: set[str] = set()  # weights that will be trained in this run

    @property
    def is_settled(self) -> bool:
        """Whether no more will be pruned: only then a validation is that of the run's network."""
        return self.share >= self.final and self.trained <= self.masks.keys()

    @property
    def state_key(self) -> str:
        return f"Prune{{{self.module}}}"

    def state_dict(self) -> dict[str, Any]:
        masks = {name: whole(mask).bool() for name, mask in self.masks.items()}
        return {"step": self.step, "share": self.share, "masks": masks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step, self.share = state_dict["step"], state_dict["share"]
        self.masks = state_dict["masks"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        given = {p for optimizer in trainer.optimizers for p in parameters(optimizer)}
        found = weight_tensors(pl_module, self.module)
        self.weights = {name: weight for name, weight in found.items() if weight in given}
        self.handles = after_updates(trainer, self._apply)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.masks = {
            name: placed(mask.to(self.weights[name].dtype), self.weights[name])
            for name, mask in self.masks.items()
            if name in self.weights
        }
        self.bounds = (batches(self.start, trainer), batches(self.end, trainer))
        if self.bounds[0] > self.bounds[1]:
            raise ValueError(f"Prune's start={self.start} is after its end={self.end}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for handle in self.handles:
            handle.remove()

    @torch.no_grad()
    def _apply(self, optimizer: Optimizer) -> None:
        own = set(parameters(optimizer))
        for name, mask in self.masks.items():
            if self.weights[name] in own:
                self.weights[name].mul_(mask)

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        self.step += 1
        check_steps(trainer, self.start, self.end)
        self.trained = self.trained or self._trained(trainer)
        start, end = self.bounds
        share = sparsity(self.step, start, end, self.final)
        is_due = (self.step - start) % self.every == 0
        # The last time in batch `end`, or at once where a resumed run has a later one behind it.
        if is_due or (self.step >= end and share > self.share):
            self._prune(trainer, pl_module, share)
        if is_logging_step(trainer):
            pl_module.log("sparsity", self.share)

    def _trained(self, trainer: Trainer) -> set[str]:
        """The weights that learn, or that `Unfreeze` will let learn."""
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        good = {p for group in groups if is_frozen_for_good(group) for p in group["params"]}
        held = {p for group in groups if is_frozen(group) for p in group["params"]}
        found = {n: w for n, w in self.weights.items() if w.requires_grad or w in held}
        return {name for name, weight in found.items() if weight not in good}

    def _learning(self, trainer: Trainer) -> dict[str, Tensor]:
        """The weights that nothing holds: no `Unfreeze`, and no `requires_grad` that is false."""
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        free = {p for group in groups if not is_frozen(group) for p in group["params"]}
        return {n: w for n, w in self.weights.items() if w in free and w.requires_grad}

    def _prune(self, trainer: Trainer, pl_module: LightningModule, share: float) -> None:
        """Masks more weights, if more are to be, or some have begun to learn."""
        learning = self._learning(trainer)
        is_new = share > 0 and not learning.keys() <= self.masks.keys()
        if not learning or not (share > self.share or is_new):
            return
        self._choose(share, learning)
        for optimizer in trainer.optimizers:
            self._apply(optimizer)
        for average in (c for c in trainer.callbacks if isinstance(c, EMA)):
            names = average.parameters(pl_module)
            for name, mask in self.masks.items():
                if self.weights[name] in names:
                    average.average[names[self.weights[name]]].mul_(mask)

    def _choose(self, share: float, weights: dict[str, Tensor]) -> None:
        """Masks the smallest weights, beside those that are masked already."""
        sizes = torch.cat([whole(weight).abs().flatten() for weight in weights.values()])
        rule = L1Unstructured(round(share * sizes.numel()))
        new = rule.compute_mask(sizes, torch.ones_like(sizes, dtype=torch.bool))
        parts = new.split([weight.numel() for weight in weights.values()])
        for (name, weight), part in zip(weights.items(), parts, strict=True):
            # A product with bool is slow.
            mask = placed(part.view(weight.shape).to(weight.dtype), weight)
            self.masks[name] = mask * self.masks.get(name, mask)
        self.share = share
