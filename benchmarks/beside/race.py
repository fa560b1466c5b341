"""A race: a validation metric over the seconds that it took, of a recipe and of plain loops."""

import contextlib
import copy
import io
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from callbacks.schedules import Schedule
from datamodules import Digits
from recipes.running.cli import main
from recipes.running.recipe import find_recipe

Points = list[tuple[float, float]]  # seconds since the start, and the metric then
# Takes the metric at the moment at which it is known, and seconds before it that do not count.
Marks = Callable[..., None]
Side = Callable[[int, Marks], None]  # trains by a seed


@dataclass(frozen=True)
class Race:
    """Sides that learn the same from the same examples, and are judged by the same metric.

    Attributes:
        recipe: its name
        metric: of validation
        unit: of the metric
        digits: of it, behind the point
        best: min or max
        sides: by name; the first is the recipe
    """

    recipe: str
    metric: str
    unit: str
    digits: int
    best: Callable[[list[float]], float]
    sides: dict[str, Side]


class Stopwatch(Callback):
    """Marks a metric after each validation.

    Args:
        metric: its name; where it is one for each of some optimizers, the least is marked
        mark: takes it
    """

    def __init__(self, metric: str, mark: Marks) -> None:
        self.metric, self.mark = metric, mark

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            known = trainer.callback_metrics
            one = [self.metric] if self.metric in known else []
            names = one or [name for name in known if name.startswith(f"{self.metric}/")]
            self.mark(min(float(known[name]) for name in names))


def raced(side: Side, seed: int) -> Points:
    """The metric of a side over the seconds since it was started."""
    found: Points = []
    torch.manual_seed(seed)
    start = time.perf_counter()

    def mark(value: float, uncounted: float = 0.0) -> None:
        nonlocal start
        start += uncounted
        found.append((round(time.perf_counter() - start, 3), round(value, 5)))

    side(seed, mark)
    return found


def default(name: str, metric: str, *flags: str) -> Side:
    """A recipe's embedded default by its command line: log, bar, checkpoints and pictures as ever.

    Args:
        name: of the recipe
        metric: of validation, as of `Stopwatch`
        flags: further ones
    """

    def side(seed: int, mark: Marks) -> None:
        quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), quiet[0], quiet[1]:
            arguments = ["fit", f"--seed_everything={seed}", "--name=raced", *flags]
            main(find_recipe(name).module, arguments, [Stopwatch(metric, mark)])

    return side


class Plain:
    """A loop of a recipe's network, optimizer and schedule, and nothing else.

    Args:
        network: that learns
        optimizer: of it
        data: whose batches it reads, in the recipe's order
        count: of epochs
        warmup: share of the batches, of the cosine that the recipe's default has
        limit: of the gradient's norm; none by default
        parts: of an epoch, behind each of which it is judged
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        data: LightningDataModule,
        count: int,
        warmup: float = 0.0,
        limit: float = math.inf,
        parts: int = 1,
    ) -> None:
        data.setup("fit")
        self.network, self.optimizer, self.data, self.count = network, optimizer, data, count
        self.limit, batches = limit, len(data.train_dataloader())
        self.every, length = batches // parts, count * batches
        cosine = Schedule("cosine", length, round(warmup * length))
        self.schedule = LambdaLR(optimizer, cosine)

    def train(
        self,
        loss: Callable[..., Tensor],
        judge: Callable[[], float],
        mark: Marks,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        """Trains to the end.

        Args:
            loss: of a batch
            judge: the metric on the examples of validation
            mark: takes it after each part of an epoch
            after: is called after each step
        """
        loader = self.data.train_dataloader()
        for epoch in range(self.count):
            loader.set_epoch(epoch)
            for number, batch in enumerate(loader, 1):
                self.network.train()
                self.optimizer.zero_grad()
                loss(*self.data.on_after_batch_transfer(batch, 0)).backward()
                if self.limit < math.inf:
                    clip_grad_norm_(self.network.parameters(), self.limit)
                self.optimizer.step()
                self.schedule.step()
                after()
                if number % self.every == 0:
                    self.network.eval()
                    with torch.inference_mode():
                        mark(judge())


class Average:
    """The exponential average of a network's weights, without the share of the first ones.

    Args:
        network: that is averaged
        half_life: steps
    """

    def __init__(self, network: nn.Module, half_life: float) -> None:
        self.weights, self.rate, self.steps = network, 0.5 ** (1 / half_life), 0
        self.network = copy.deepcopy(network)

    @torch.no_grad()
    def follow(self) -> None:
        """Takes the weights of a further step."""
        self.steps += 1
        weight = (1 - self.rate) / (1 - self.rate**self.steps)
        pair = list(self.network.parameters()), list(self.weights.parameters())
        torch._foreach_lerp_(*pair, weight)


def validation(data: LightningDataModule) -> Iterator[tuple[Tensor, ...]]:
    """The batches of validation, as a network gets them."""
    for batch in data.val_dataloader():
        yield data.on_after_batch_transfer(batch, 0)


def accuracy(network: nn.Module, data: Digits) -> float:
    """Share of the images of validation that it names right."""
    known = list(validation(data))
    right = sum(int((network(images).argmax(1) == labels).sum()) for images, labels in known)
    return right / sum(len(labels) for _, labels in known)
