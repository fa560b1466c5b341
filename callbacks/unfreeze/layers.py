"""Which layers of a network are frozen while some of its parameters are."""

from collections.abc import Callable

from lightning.pytorch import LightningModule
from torch import nn


class Layers:
    """The layers of frozen parameters, which are in evaluation mode.

    Args:
        root: the module that they are in
        places: in the schedule, of the parameters that are learned
        place: of a layer by its name; behind the last where no pattern matches
    """

    def __init__(
        self, root: nn.Module, places: dict[nn.Parameter, int], place: Callable[[str], int]
    ) -> None:
        def below(module: nn.Module, recurse: bool = True) -> set[int]:
            return {places[p] for p in module.parameters(recurse) if p in places}

        # What `is_held` asks of each layer.
        self.rules: dict[nn.Module, tuple[int, set[int], set[int]]] = {}
        for name, module in root.named_modules():
            if isinstance(module, LightningModule):
                continue
            needs = below(module, recurse=False)
            if not (needs or below(module)) and not any(True for _ in module.parameters()):
                needs = below(root.get_submodule(name.rpartition(".")[0]))
            if needs or below(module):
                self.rules[module] = (place(name), needs, below(module))
        self.was = {module: module.training for module in self.rules}
        self.held: set[nn.Module] = set()

    def thaw(self, frozen: set[int]) -> None:
        """Chooses the layers that are frozen; others are as they were.

        Args:
            frozen: places in the schedule
        """
        held = {module for module, rule in self.rules.items() if is_held(*rule, frozen)}
        for module in self.held - held:
            module.training = self.was[module]
        self.held = held

    def freeze(self) -> None:
        """Puts the frozen layers into evaluation mode."""
        for module in self.held:
            module.training = False


def is_held(named: int, needs: set[int], below: set[int], frozen: set[int]) -> bool:
    """Whether a layer is frozen.

    Args:
        named: the place of its own name in the schedule
        needs: places of its own parameters, or where it has none at all, of the module around it
        below: places of all parameters in it
        frozen: places that are frozen
    """
    if named not in frozen:
        return False
    return bool(needs & frozen) if needs else below <= frozen
