"""torch.compile around the networks of any module."""

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torchmetrics import Metric


class Compile(Callback):
    """Compiles networks while a fit lasts, in place: names in checkpoints stay as they are.

    ```yaml
    - class_path: Compile
      init_args: {modules: [network]}
    ```

    Args:
        modules: names of the module's attributes; by default everything in it that is called
        mode: of torch.compile: default, reduce-overhead (CUDA graphs: fewer launches for small
            networks), max-autotune
    """

    def __init__(self, modules: list[str] | None = None, mode: str | None = None) -> None:
        self.modules, self.mode = modules, mode

    @property
    def state_key(self) -> str:
        return f"Compile({self.modules})"

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for network in called(pl_module, self.modules, "Compile"):
            network.compile(mode=self.mode)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for network in called(pl_module, self.modules, "Compile"):
            network._compiled_call_impl = None  # what nn.Module.compile sets


def called(pl_module: LightningModule, modules: list[str] | None, callback: str) -> list[nn.Module]:
    """What is called, of a module's children: of a list its items, and no metrics.

    Args:
        pl_module: that has them
        modules: names of its attributes; None: all
        callback: that asks, for messages

    Raises:
        ValueError: if the module has no such attribute, or none at all
    """
    kind, found = type(pl_module).__name__, []
    for name in modules or [name for name, _ in pl_module.named_children()]:
        child = getattr(pl_module, name, None)
        if not isinstance(child, nn.Module):
            raise ValueError(f"{callback}: {kind} has no network {name!r}")
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            found += child.children()
        elif not isinstance(child, Metric):
            found.append(child)
    if not found:
        raise ValueError(f"{callback}: {kind} has no networks")
    return found
