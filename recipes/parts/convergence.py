"""Whether L-BFGS has converged, or has only reached the end of what it was allowed."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import LBFGS, Optimizer


def counts(optimizer: LBFGS) -> tuple[int, int]:
    """The iterations and the evaluations of the loss that it has made so far."""
    state = optimizer.state.get(optimizer._params[0], {})
    return state.get("n_iter", 0), state.get("func_evals", 0)


@torch.no_grad()
def has_converged(optimizer: LBFGS, before: tuple[int, int]) -> bool:
    """Whether its last step ended by its tolerances, and not by max_iter or max_eval.

    Args:
        optimizer: after the step
        before: its `counts` before the step
    """
    group, state = optimizer.param_groups[0], optimizer.state.get(optimizer._params[0], {})
    iterations, evaluations = (
        now - then for now, then in zip(counts(optimizer), before, strict=True)
    )
    if iterations < group["max_iter"] and evaluations < group["max_eval"]:
        return True
    # torch looks at its limits first.
    moved = state["d"].mul(state["t"]).abs().max()
    gradient = optimizer._gather_flat_grad().abs().max()
    return bool(moved <= group["tolerance_change"] or gradient <= group["tolerance_grad"])


def ended(optimizers: Iterable[Optimizer]) -> list[bool]:
    """What `Convergence` knows of some optimizers, and of those that they step in turn."""
    return [value for optimizer in optimizers for value in getattr(optimizer, "converged", [])]


class Convergence(Callback):
    """Tells at the end of a run that L-BFGS has not converged; the command line puts it in place.

    An optimizer that steps several others may have `converged`, of each L-BFGS among them.
    """

    def __init__(self) -> None:
        self.converged: list[bool] = []
        self.before: dict[LBFGS, tuple[int, int]] = {}
        self.watched: list[Optimizer] = []

    def state_dict(self) -> dict[str, Any]:
        return {"converged": self.converged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.converged = state_dict["converged"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.watched = [
            o for o in trainer.optimizers if isinstance(o, LBFGS) or hasattr(o, "converged")
        ]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        self.before = {o: counts(o) for o in self.watched if isinstance(o, LBFGS)}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        alone = [has_converged(optimizer, before) for optimizer, before in self.before.items()]
        self.converged = alone + ended(self.watched)

    @property
    def warning(self) -> str:
        """What to say at the end of a run; nothing if all have converged or none is L-BFGS."""
        missing, number = self.converged.count(False), len(self.converged)
        if not missing:
            return ""
        which = f"{missing} of {number} trained by L-BFGS have" if number > 1 else "L-BFGS has"
        return f"{which} not converged: train for more epochs"
