"""Learning-rate warm-up and decay."""

from typing import Any

from jsonargparse.typing import NonNegativeInt
from lightning.pytorch import LightningModule, Trainer
from torch.optim import Optimizer

from callbacks.hyperparameter_schedule import HyperparameterSchedule
from callbacks.optimizers import lr_scale, named_optimizers, refuse_schedulers
from callbacks.schedules import Name


class LRDecay(HyperparameterSchedule):
    """Warms learning rates up, then decays them.

        lr(t) = peak * m(t)

    with the peak as the optimizer was made and the multiplier m of `callbacks.schedules`, which
    gives each formula and its source. t counts batches, whatever steps the optimizers, so that it
    means the same under automatic and manual optimization, with several optimizers, and under
    accumulation. Logs `lr/<optimizer>`; a second optimizer is numbered, as in `lr/Adam-1`.

    Where `LossDrivenLR` scales the same optimizer, the two multiply.

    ```yaml
    - class_path: LRDecay
      init_args: {schedule: cosine, warmup: 5%, final: 0.01}
    ```

    Args:
        schedule: form of the decay from the peak: constant; linear, cosine or polynomial to final;
            exponential; step, multistep: by gamma at a time; inverse_sqrt; one_cycle: up and down
            in cosines; wsd: warm-up, stable, decay. The formulas are in callbacks/schedules.py
        optimizers: numbers or names (as in the log keys: Adam, Adam-1) of those that are scheduled,
            so that each network of a GAN can have its own; by default all

    Raises:
        ValueError: as HyperparameterSchedule; also if an optimizer has two of these, the module's
            own scheduler, or Lightning's StochasticWeightAveraging
    """

    def __init__(
        self,
        schedule: Name = "cosine",
        optimizers: list[NonNegativeInt | str] | None = None,
        **kwargs: Any,  # noqa: ANN401 - the further ones of HyperparameterSchedule
    ) -> None:
        super().__init__(key="lr", to=0.0, schedule=schedule, optimizers=optimizers, **kwargs)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_fit_start(trainer, pl_module)
        refuse_schedulers(trainer, "LRDecay")
        others = [c for c in trainer.callbacks if isinstance(c, LRDecay) and c is not self]
        for other in others:
            if both := self.optimizers.keys() & named_optimizers(trainer, other.selection).keys():
                raise ValueError(f"two LRDecay set the rate of {', '.join(both)}: give optimizers")

    def value(self, own: float, optimizer: Optimizer) -> float:
        return super().value(own, optimizer) * lr_scale(optimizer)

    def log_key(self, name: str) -> str:
        return f"lr/{name}"
