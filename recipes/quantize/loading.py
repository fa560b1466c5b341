"""A run in hand: its data, and its network with the weights that it evaluated."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn

from callbacks import FakeQuantize
from callbacks.fake_quantize.quantizers import Range
from recipes.export.deployed import Deployed, network_name
from recipes.running.trained import Trained

Network = Callable[[Tensor], Tensor]
Predictions = list[tuple[Tensor, dict[str, Tensor]]]  # of raw inputs, in batches
SINGLE = "--trainer.precision=32-true"  # what is compared with


class Taken(Callback):
    """Takes what is validated, with the average of EMA in the weights' place."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.trainer, self.module = trainer, pl_module
        self.state = {name: value.clone() for name, value in pl_module.state_dict().items()}


@dataclass
class Loaded:
    """A run that was validated.

    Attributes:
        trainer: that evaluates it, without the run's callbacks, which write files
        deployed: from raw inputs to predictions, with the weights that were evaluated
        ranges: of the inputs of the network's layers, by name, where FakeQuantize has them
        checkpoint: that it is of
    """

    trainer: Trainer
    deployed: Deployed
    ranges: dict[str, Range]
    checkpoint: Path

    @classmethod
    def of(cls, run: Trained, flags: Sequence[str]) -> "Loaded":
        """A run, validated.

        Args:
            run: its checkpoint
            flags: of `validate`

        Raises:
            ValueError, OSError: if it cannot be read, or has no single network that predicts
            SystemExit: with the line of what else went wrong
        """
        taken = Taken()
        run.ask("validate", [taken], [SINGLE, *flags])
        if not hasattr(taken, "module"):
            raise ValueError("the run has no validation data to measure on; see --data")
        trainer, module, data = taken.trainer, taken.module, taken.trainer.datamodule
        module.load_state_dict(taken.state)
        deployed = Deployed(module, data)  # refuses what does not predict from inputs
        name = network_name(module)
        ranges = {}
        for callback in trainer.callbacks:
            if isinstance(callback, FakeQuantize) and callback.is_rounding:
                ranges |= inside(callback, name)
        trainer.callbacks.clear()
        module.eval()
        loaded = cls(trainer, deployed.eval(), ranges, run.checkpoint)
        loaded._check()
        return loaded

    def _check(self) -> None:
        network = self.network
        if isinstance(network, nn.ModuleList):
            raise ValueError("--model.ensemble: only a single network is quantized")
        with torch.no_grad():
            inputs = self.prepared(next(iter(self.data.val_dataloader())))
            if not isinstance(network(inputs), Tensor):
                kind = type(network).__name__
                raise ValueError(f"--model.network={kind} carries a state: it is not quantized")

    @property
    def module(self) -> LightningModule:
        return self.deployed.module

    @property
    def data(self) -> LightningDataModule:
        return self.deployed.data

    @property
    def network(self) -> nn.Module:
        return getattr(self.module, network_name(self.module))

    def prepared(self, batch: Sequence[Tensor]) -> Tensor:
        """The inputs of a loader's batch as the network takes them."""
        return self.deployed.preprocess(self.deployed.raw(batch[0]))

    def training_inputs(self, batches: int) -> Iterator[Tensor]:
        """Inputs of training rows, as the network takes them."""
        self.data.setup("fit")
        for _, batch in zip(range(batches), self.data.train_dataloader(), strict=False):
            yield self.prepared(batch)

    def rows(self, count: int) -> Tensor:
        """Some validation rows as the network takes them, repeated if they are too few."""
        inputs = self.prepared(next(iter(self.data.val_dataloader())))
        times = -(-count // len(inputs))
        return inputs.repeat(times, *[1] * (inputs.ndim - 1))[:count]

    def metrics(self) -> dict[str, float]:
        """What the run logs in validation and test."""
        found = {}
        for evaluate in (self.trainer.validate, self.trainer.test):
            for values in evaluate(self.module, datamodule=self.data, verbose=False):
                found |= values
        self.module.eval()
        return found

    @torch.no_grad()
    def predictions(self) -> Predictions:
        """Raw inputs and predictions of the validation data, in batches."""
        return [
            (self.deployed.raw(batch[0]), self.deployed.predicted(self.prepared(batch)))
            for batch in self.data.val_dataloader()
        ]

    def with_network(self, network: nn.Module) -> Deployed:
        """From raw inputs to predictions by another network, which becomes the module's."""
        setattr(self.module, network_name(self.module), network)
        return Deployed(self.module, self.data).eval()

    @contextmanager
    def answered_by(self, network: Network) -> Iterator[None]:
        """Within it another network answers in the place of the run's own."""
        self.network.__dict__["forward"] = network
        try:
            yield
        finally:
            del self.network.__dict__["forward"]


def inside(callback: FakeQuantize, name: str) -> dict[str, Range]:
    """The ranges that a callback has of a network's layers, by their names in the network."""
    found = {f"{callback.module}.{each}".strip("."): v for each, v in callback.ranges.items()}
    return {k[len(name) + 1 :]: v for k, v in found.items() if f"{k}.".startswith(f"{name}.")}
