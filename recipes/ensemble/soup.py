"""Model soups: one network whose weights are the mean of several runs' weights.

Wortsman et al. 2022, https://arxiv.org/abs/2203.05482, section 2 and recipe 1.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from recipes.ensemble.combine import Predicted
from recipes.ensemble.members import Recorder
from recipes.export.deployed import network_name
from recipes.parts.keys import dotted
from recipes.parts.lora import merged
from recipes.regress import Regress
from recipes.regress.prediction import noise_of
from recipes.running.trained import training_batches

State = dict[str, Tensor]  # a network's state_dict


@dataclass
class Ingredient:
    """The network that a run evaluated.

    Attributes:
        state: its state_dict
        architecture: the settings that made it, `dotted`
    """

    state: State
    architecture: dict[str, Any] = field(default_factory=dict)

    def difference(self, other: "Ingredient") -> str:
        """How another network differs from it, in words; empty if their weights can be averaged."""
        for key in self.architecture.keys() | other.architecture.keys():
            one, two = self.architecture.get(key), other.architecture.get(key)
            if one != two and not key.endswith("dropout"):
                return f"--model.{key}={two}, not {one}"
        for name in self.state.keys() | other.state.keys():
            one, two = self.state.get(name), other.state.get(name)
            if one is None or two is None or one.shape != two.shape:
                return f"{name} is of another shape, or is not there"
        return ""


class Ingredients(Callback):
    """Takes a copy of the network that a run evaluates, the average where there is EMA.

    Attributes:
        found: the copy; None if no single network predicts
    """

    def __init__(self) -> None:
        self.found: Ingredient | None = None

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        if self.found is not None or not (name := network_name(pl_module)):
            return
        settings = pl_module.hparams.get(name)
        made = {name: settings, "loss": pl_module.hparams.get("loss")}
        state = copy.deepcopy(merged(getattr(pl_module, name)).state_dict())
        self.found = Ingredient(state, dotted(made))


def average(states: Sequence[State]) -> State:
    """The mean of each weight; of whole numbers, such as counts of batches, the first network's.

    The mean is taken in float64 and rounded once.
    """
    found = {}
    for name, first in states[0].items():
        found[name] = first.clone()
        if first.is_floating_point():
            total = sum(state[name].double() for state in states)
            found[name] = (total / len(states)).to(first.dtype)
    return found


@torch.no_grad()
def refresh_statistics(network: nn.Module, moved: set[str], batches: Iterable[Any]) -> None:
    """Computes batch-norm's running statistics anew, as means over batches of the training data.

    Those of the runs are of activations that the mean of their weights does not have (Izmailov et
    al. 2018, section 3.2, https://arxiv.org/abs/1803.05407). `torch.optim.swa_utils.update_bn` does
    it for all norms; here those that stood still in training, frozen ones, go on to.

    Args:
        network: that has averaged weights, in evaluation mode
        moved: names of tensors that differ between the runs
        batches: of the training data, as the network takes them, the inputs first

    Raises:
        ValueError: if other norms have running statistics
    """
    norms = [
        norm
        for name, norm in network.named_modules()
        if isinstance(norm, _NormBase) and f"{name}.running_mean" in moved
    ]
    if odd := next((type(m).__name__ for m in norms if not isinstance(m, _BatchNorm)), None):
        raise ValueError(f"running statistics of {odd} are not known to be those of a soup")
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
        norm.train()
    members = network if isinstance(network, nn.ModuleList) else [network]
    for inputs, *_ in batches:
        for member in members:
            member(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def moved(states: Sequence[State]) -> set[str]:
    """The names of tensors that differ between networks."""
    first, *others = states
    return {n for n, value in first.items() if any(not torch.equal(value, o[n]) for o in others)}


@contextmanager
def replaced(module: LightningModule) -> Iterator[nn.Module]:
    """Within it a copy of the network that predicts is in its place, with adapters merged."""
    name = network_name(module)
    own = getattr(module, name)
    setattr(module, name, copy.deepcopy(merged(own)))
    try:
        yield getattr(module, name)
    finally:
        setattr(module, name, own)


def estimate_noise(module: LightningModule, batches: Sequence[Any]) -> float | list[float] | None:
    """Gives `recipes.regress` the constant noise of its residuals, if it has one; returns that."""
    if not isinstance(module, Regress) or not module.loss.needs_noise:
        return None
    for number, batch in enumerate(batches):
        module.validation_step(batch, number)
    module.noise = noise_of(module.predictions.compute())
    module.predictions.reset()
    return module.noise


@dataclass(frozen=True)
class Soup:
    """A network of averaged weights.

    Attributes:
        members: numbers of the runs in it
        state: its weights
        noise: its constant noise, if it has one
        predicted: what it predicts of the validation data
    """

    members: list[int]
    state: State
    noise: float | list[float] | None
    predicted: Predicted


class Kitchen(Callback):
    """Tries soups while the first run is validated.

    Args:
        states: of each run's network
        cost: of predictions; less is better
        order: the runs' numbers, the best on validation first

    Attributes:
        soups: `soup` of all runs, `greedy_soup` of those that help
    """

    def __init__(
        self, states: Sequence[State], cost: Callable[[Predicted], float], order: Sequence[int]
    ) -> None:
        self.states, self.cost, self.order = states, cost, order
        self.batches: list[Any] = []
        self.soups: dict[str, Soup] = {}

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: Any,  # noqa: ANN401 - the data's
        *args: object,
    ) -> None:
        self.batches.append(batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        with replaced(pl_module):
            self.soups["soup"] = self._stir(trainer, pl_module, list(self.order))
            self.soups["greedy_soup"] = self._greedy(trainer, pl_module)

    def _greedy(self, trainer: Trainer, module: LightningModule) -> Soup:
        """Wortsman et al. 2022, recipe 1: a run stays in if the soup is no worse with it."""
        best = self._stir(trainer, module, [self.order[0]])
        for number in self.order[1:]:
            trial = self._stir(trainer, module, [*best.members, number])
            if self.cost(trial.predicted) <= self.cost(best.predicted):
                best = trial
        return best

    def _stir(self, trainer: Trainer, module: LightningModule, members: list[int]) -> Soup:
        network = getattr(module, network_name(module))
        states = [self.states[number] for number in members]
        network.load_state_dict(average(states))
        refresh_statistics(network, moved(states), training_batches(trainer.datamodule))
        noise = estimate_noise(module, self.batches)
        recorder = Recorder()
        for number, batch in enumerate(self.batches):
            recorder.on_validation_batch_end(trainer, module, None, batch, number)
        state = copy.deepcopy(network.state_dict())
        return Soup(members, state, noise, recorder.predicted())


class Served(Callback):
    """Lets `predict` use a soup.

    Args:
        soup: to use
    """

    def __init__(self, soup: Soup) -> None:
        self.soup, self.stack = soup, ExitStack()

    def on_predict_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: object,
        batch_idx: int,
        *args: object,
    ) -> None:
        if batch_idx == 0:  # when averages, where there is EMA, are in place
            network = self.stack.enter_context(replaced(pl_module))
            network.load_state_dict(self.soup.state)
            if self.soup.noise is not None:
                pl_module.noise = self.soup.noise

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stack.close()  # before EMA takes its average out again
