"""torch.compile around the networks of any module."""

from collections.abc import Iterator

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
        networks = list(self._networks(pl_module))
        if not networks:
            raise ValueError(f"Compile: {type(pl_module).__name__} has no networks to compile")
        for network in networks:
            network.compile(mode=self.mode)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for network in self._networks(pl_module):
            network._compiled_call_impl = None  # what nn.Module.compile sets

    def _networks(self, pl_module: LightningModule) -> Iterator[nn.Module]:
        """What is called, of the module's children: of a list its items, and no metrics.

        Raises:
            ValueError: if the module has no such attribute
        """
        names = self.modules or [name for name, _ in pl_module.named_children()]
        for name in names:
            child = getattr(pl_module, name, None)
            if not isinstance(child, nn.Module):
                raise ValueError(f"Compile: {type(pl_module).__name__} has no network {name!r}")
            if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
                yield from child.children()
            elif not isinstance(child, Metric):
                yield child
