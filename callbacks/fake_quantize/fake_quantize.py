"""Quantization-aware training."""

from typing import Any

import torch
from jsonargparse.typing import OpenUnitInterval
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.fake_quantize.quantizers import Quantizers, Range, layers_of
from callbacks.lengths import Length, batches, check_steps


class FakeQuantize(Callback):
    """Trains a network whose weights and inputs of layers are rounded as 8-bit integers are.

        r = S (q - Z),  q = clamp(round(r / S) + Z)

    (Jacob et al. 2018, equations 1 and 12, https://arxiv.org/abs/1712.05877), with the real number
    r, the integer q, the step S and the zero point Z. The gradient passes through the rounding. The
    weights themselves stay fine, and are what checkpoints and `Export` hold.
    `python -m recipes.quantize RUN --scheme static_int8` writes what the run has evaluated.

    Inputs of linear and convolutional layers and of average pools are 0 to 255, with one step for
    each layer: its range is an average over batches, kept in checkpoints. Weights are -64 to 64,
    with a step for each output, which is the largest of its weights by 64. Products of such
    integers are exact on all processors. Biases are added unrounded here.

    Validation, test and prediction round, too, once training does; the best validation
    (`best.ckpt`) is the best of these. Averages of `EMA` are rounded as the weights are.

    ```yaml
    - class_path: FakeQuantize
      init_args: {module: network, start: 10%}
    ```

    Args:
        module: the sub-module's attribute name in the LightningModule; by default all of it
        start: length of training before anything is rounded, while ranges are observed: batches, or
            in units: 1000ba (batches), 5ep (epochs), 10% (of the run); at least one batch
        decay: share of a layer's range that is kept in each batch, 0 to 1; the rest is the batch's

    Raises:
        ValueError: if there is no such sub-module, or it has no layer that is rounded
    """

    def __init__(
        self, module: str = "", start: Length = "10%", decay: OpenUnitInterval = 0.99
    ) -> None:
        self.module, self.start, self.decay = module, start, decay
        self.step = 0
        # Of each layer: averages of its smallest and largest input, and of 1, from a start of 0.
        self.averages: dict[str, Tensor] = {}
        self.is_rounding = False
        self.quantizers: Quantizers | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it rounds: only then a validation is that of the run's network."""
        return self.is_rounding

    @property
    def state_key(self) -> str:
        return f"FakeQuantize{{{self.module}}}"

    @property
    def ranges(self) -> dict[str, Range]:
        """The smallest and largest input of each layer, by its name in the sub-module."""
        return {name: (low / one, high / one) for name, (low, high, one) in self.averages.items()}

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("step", "averages", "is_rounding")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.module not in dict(pl_module.named_modules()):
            known = ", ".join(name for name, _ in pl_module.named_children())
            said = f"FakeQuantize's module={self.module}: there is no such module, but {known}"
            raise ValueError(said)
        network = pl_module.get_submodule(self.module)
        if not any(True for _ in layers_of(network)):
            raise ValueError(f"FakeQuantize: {type(network).__name__} has no layer to be rounded")
        self.quantizers = Quantizers(network, {})

    def _prepare(self, pl_module: LightningModule) -> None:
        """Rounds by the ranges that are known by now."""
        self.averages = {name: a.to(pl_module.device) for name, a in self.averages.items()}
        self.quantizers.ranges = self.ranges
        self.quantizers.is_rounding = self.is_rounding

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin = max(1, batches(self.start, trainer))
        self._prepare(pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._prepare(pl_module)

    on_test_start = on_predict_start = on_validation_start

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        # Once begun it goes on, also if a longer run would begin later.
        self.is_rounding |= self.step >= self.begin
        self.quantizers.is_rounding, self.quantizers.is_observing = self.is_rounding, True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        self.step += 1
        check_steps(trainer, self.start)
        self.quantizers.is_observing = False
        seen, self.quantizers.seen = self.quantizers.seen, {}
        if not seen:
            return
        # Of all processes together, as one with their batches would see it.
        ends = torch.stack([torch.stack([-low, high]) for low, high in seen.values()])
        ends = trainer.strategy.reduce(ends, reduce_op="max")
        for name, (low, high) in zip(seen, ends, strict=True):
            new = torch.stack([-low, high, torch.ones_like(low)])
            old = self.averages.get(name, torch.zeros_like(new))
            self.averages[name] = self.decay * old + (1 - self.decay) * new
        self.quantizers.ranges = self.ranges

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.quantizers is not None:
            self.quantizers.remove()
