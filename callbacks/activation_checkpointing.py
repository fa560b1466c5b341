"""Activation checkpointing of the networks of any module."""

from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.compiled import called
from recipes.parts.activation_checkpointing import checkpoint_activations


class ActivationCheckpointing(Callback):
    """Keeps few activations for the backward pass, and computes the others again: memory for time.

    Chen et al. 2016, https://arxiv.org/abs/1604.06174: of n layers in a row sqrt(n) inputs are
    kept, of a Transformer's blocks each one's own, for about a third more time. What is trained,
    and the names in checkpoints, stay as they are.

    ```yaml
    - class_path: ActivationCheckpointing
    ```

    Args:
        modules: names of the module's attributes; by default everything in it that is called

    Raises:
        ValueError: if a network has no layers in a row, and no list of blocks
    """

    def __init__(self, modules: list[str] | None = None) -> None:
        self.modules = modules

    @property
    def state_key(self) -> str:
        return f"ActivationCheckpointing({self.modules})"

    # Before networks are sharded, as a shard is of a class of its own.
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            for network in called(pl_module, self.modules, "ActivationCheckpointing"):
                checkpoint_activations(network)
