"""One optimizer step for all members of a study."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from recipes.study.part import Part


def groups_of(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """One parameter group for each part."""
    return [{"params": [part.weights], "name": part.name, "lr": 1.0} for part in parts]


class Together(Optimizer):
    """Steps all parts of a study as one optimizer, so that Lightning counts one step a batch.

    The learning rate of a parameter group multiplies those of its members, so that callbacks such
    as LRDecay act on it as on any other.

    Args:
        parts: of the first round
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__(groups_of(parts), {"lr": 1.0})
        self.parts = list(parts)

    def begin(self, parts: Sequence[Part]) -> None:
        """Replaces the parts by those of the next round."""
        self.parts, self.param_groups = list(parts), []
        for group in groups_of(parts):
            self.add_param_group(group)

    @property
    def converged(self) -> list[bool]:
        """Whether each member that L-BFGS trains has converged."""
        return [p.converged for p in self.parts if len(p) and p.converged is not None]

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        loss = closure() if closure else None
        for part, group in zip(self.parts, self.param_groups, strict=True):
            part.step(group["lr"])
        return loss

    def state_dict(self) -> dict[str, Any]:
        # A resumed study has no parts without members.
        parts = [part for part in self.parts if len(part)]
        state = super().state_dict()
        groups = zip(self.parts, state["param_groups"], strict=True)
        return {
            **state,
            "param_groups": [group for part, group in groups if len(part)],
            "parts": [part.stock.state_dict() for part in parts],
            "alive": [part.alive.clone() for part in parts],
            "gathered": [(part.gathered, part.waiting) for part in parts],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({k: state_dict[k] for k in ("state", "param_groups")})
        saved = zip(*(state_dict[k] for k in ("parts", "alive", "gathered")), strict=True)
        for part, (stock, alive, gathered) in zip(self.parts, saved, strict=True):
            part.stock.load_state_dict(stock)
            part.alive.copy_(alive)
            total, part.waiting = gathered
            part.gathered = total if total is None else total.to(part.weights.device)
