"""An exponential moving average of a sub-module's weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jsonargparse.typing import restricted_string_type
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.utilities.data import extract_batch_size
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from callbacks.lengths import PositiveLength, batches
from datamodules.loading.loader import data_rank
from recipes.parts.averages import placed, save_averages, state_key, whole

Images = restricted_string_type(
    "Images", r"^(?=.*[1-9])\d+im$", docstring="a number of images, 20000im"
)


class EMA(Callback):
    """Averages the weights of one sub-module over training, and evaluates with the average.

        average_n = sum_i 2^(-(n - i) / half_life) w_i / sum_i 2^(-(n - i) / half_life)

    over the weights w_i after batches i = 1 ... n: the exponential moving average of the iterates
    (after Polyak & Juditsky 1992; for GANs Yazici et al. 2019, https://arxiv.org/abs/1806.04498)
    without the share that the initial weights would have (the correction of Kingma & Ba 2015,
    section 3). Counts batches, whatever steps the optimizers. Kept in float32 or finer, and saved
    with the training state.

    The average takes the weights' place in validation, test, prediction, and in what `Export`
    writes; then the weights come back bit by bit. A checkpoint's `state_dict` holds the weights,
    its callbacks' states the average (see `averages`); a file of the weights alone, the average.

    ```yaml
    - class_path: EMA
      init_args: {module: network, half_life: 2ep}
    ```

    Args:
        module: the sub-module's attribute name in the LightningModule, for example student, which
            may be dotted: student.features
        half_life: after which weights count half: batches, or in units: 1000ba (batches), 5ep
            (epochs), 10% (of the run), 20000im (images, on all processes together)
        buffers: average: the running statistics of batch-norm are averaged as the weights are;
            copy: they are those of the latest weights

    Raises:
        ValueError: if there is no such sub-module, or it has no weights
    """

    def __init__(
        self,
        module: str,
        half_life: PositiveLength | Images = 1000,
        buffers: Literal["average", "copy"] = "average",
    ) -> None:
        self.module, self.half_life, self.buffers = module, half_life, buffers
        self.weight = 0.0  # the sum in the denominator
        self.average: dict[str, Tensor] = {}
        self.ties: dict[str, str] = {}  # a second name of a weight that two layers share: the first
        self.raw: dict[str, Tensor] = {}  # the weights, while the average is in their place

    @property
    def state_key(self) -> str:
        return state_key(self.module)

    def state_dict(self) -> dict[str, Any]:
        average = {name: whole(value) for name, value in self.average.items()}
        average |= {other: average[name] for other, name in self.ties.items()}
        return {"weight": self.weight, "average": average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.weight, self.average = state_dict["weight"], state_dict["average"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for other in trainer.callbacks:
            if isinstance(other, StochasticWeightAveraging | WeightAveraging):
                name = type(other).__name__
                raise ValueError(
                    f"EMA and {name} would both put their average in the network's place: leave "
                    "one of them out of trainer.callbacks"
                )
        save_averages(trainer)

    def parameters(self, pl_module: LightningModule) -> dict[torch.nn.Parameter, str]:
        """The sub-module's parameters, and their names in it."""
        network = pl_module.get_submodule(self.module)
        return {parameter: name for name, parameter in network.named_parameters()}

    def tensors(self, pl_module: LightningModule) -> dict[str, Tensor]:
        """The sub-module's parameters and buffers that are averaged, by name."""
        if self.module not in dict(pl_module.named_modules()):
            known = ", ".join(name for name, _ in pl_module.named_children())
            raise ValueError(f"EMA's module={self.module}: there is no such module, but {known}")
        network = pl_module.get_submodule(self.module)
        found = {name: value.detach() for name, value in network.named_parameters()}
        if self.buffers == "average":
            found |= {n: b for n, b in network.named_buffers() if b.is_floating_point()}
        return found

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        shard_again(pl_module)
        current = self.tensors(pl_module)
        if not current:
            raise ValueError(f"EMA: module {self.module} has no weights")
        names = self.parameters(pl_module)
        every = pl_module.get_submodule(self.module).named_parameters(remove_duplicate=False)
        self.ties = {other: names[weight] for other, weight in every if other != names[weight]}
        others = [c for c in trainer.callbacks if isinstance(c, EMA) and c is not self]
        for other in others:
            if {*map(id, self.parameters(pl_module))} & {*map(id, other.parameters(pl_module))}:
                raise ValueError(f"EMA's module={self.module} and {other.module} share weights")
        # From a checkpoint, or the initial weights, whose share in the average is zero.
        self.average = {
            name: placed(self.average.get(name, value.clone()), value).to(
                torch.promote_types(value.dtype, torch.float32)
            )
            for name, value in current.items()
        }
        self.in_images = str(self.half_life).endswith("im")
        length = self.half_life if self.in_images else batches(self.half_life, trainer)
        self.length = max(1, int(str(length).removesuffix("im")))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        *args: object,
    ) -> None:
        age = extract_batch_size(batch) * data_rank(trainer)[1] if self.in_images else 1
        self.weight = self.weight * 0.5 ** (age / self.length) + 1
        current = self.tensors(pl_module)
        averages = [self.average[name] for name in current]
        values = [value.to(a.dtype) for value, a in zip(current.values(), averages, strict=True)]
        count = len(self.parameters(pl_module))  # they come first
        torch._foreach_lerp_(averages[:count], values[:count], 1 / self.weight)
        for average, value in zip(averages[count:], values[count:], strict=True):
            # A constant stays what it is, also the -inf of a mask.
            mean = average.lerp(value, 1 / self.weight)
            average.copy_(torch.where(value == average, value, mean))

    def swap_in(self, pl_module: LightningModule) -> None:
        """Puts the average in the weights' place."""
        if not self.average or self.raw:
            return
        shard_again(pl_module)
        # A checkpoint's average may be without buffers.
        current = {n: v for n, v in self.tensors(pl_module).items() if n in self.average}
        self.raw = {name: value.clone() for name, value in current.items()}
        for name, value in current.items():
            value.copy_(placed(self.average[name], value))

    def swap_out(self, pl_module: LightningModule) -> None:
        """Puts the weights back."""
        if not self.raw:
            return
        shard_again(pl_module)
        current = self.tensors(pl_module)
        for name, value in self.raw.items():
            current[name].copy_(value)
        self.raw = {}

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.swap_in(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.swap_out(pl_module)

    on_test_start = on_predict_start = on_validation_start
    on_test_end = on_predict_end = on_validation_end

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self.swap_out(pl_module)  # before a checkpoint of the exception


def shard_again(pl_module: LightningModule) -> None:
    """Has FSDP2 drop the whole weights that it keeps after an evaluation, without a backward."""
    for module in pl_module.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


@contextmanager
def averaged(trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
    """Puts the averages of all of a trainer's EMA callbacks in the weights' place for a while."""
    averages = [callback for callback in trainer.callbacks if isinstance(callback, EMA)]
    for callback in averages:
        callback.swap_in(pl_module)
    try:
        yield
    finally:
        for callback in averages:
            callback.swap_out(pl_module)
