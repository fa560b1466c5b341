"""Where expectation maximisation starts: k-means++, or random responsibilities."""

from typing import Literal

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.nn import functional as F

from datamodules.loading.loader import Loader, keyed_generator, shuffled
from recipes.em.mixture import Mixture

Start = Literal["kmeans++", "random"]
ROWS = 10_000  # that are looked at, at most


def initialise(mixture: Mixture, inputs: Tensor, how: Start, seed: int) -> None:
    """Gives a mixture its first parameters, in place: a pure function of inputs and seed.

    Args:
        mixture: to start
        inputs: some of the training rows, (rows, ...)
        how: `kmeans++`: each row belongs to the nearest of K rows that are far apart; `random`: to
            all components, by random shares
        seed: of the choice

    Raises:
        ValueError: if there are fewer rows than components
    """
    x, count, generator = mixture.observed(inputs), mixture.components, keyed_generator(seed, 3)
    if len(x) < count:
        raise ValueError(
            f"--model.network.components={count}: more than the {len(x)} training rows"
        )
    if how == "random":
        shares = torch.rand(len(x), count, generator=generator).to(x)
        responsibilities = shares / shares.sum(1, keepdim=True)
    else:
        nearest = distances(x, kmeans_plus_plus(x, count, generator)).argmin(1)
        responsibilities = F.one_hot(nearest, count).to(x)
    for _ in range(2):  # statistics are centred on the means, which the first time are 0
        mixture.maximize(mixture.statistics(x, responsibilities), 1.0)


def distances(x: Tensor, centers: Tensor) -> Tensor:
    """Squared distances between rows (rows, D) and centers (K, D), (rows, K)."""
    return torch.stack([(x - center).square().sum(1) for center in centers], 1)


def kmeans_plus_plus(x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows that are far apart, (count, D): Arthur & Vassilvitskii 2007, algorithm 1.

    Each is drawn with a probability in proportion to its squared distance from the nearest of those
    before it; where all distances are 0, evenly.

    Args:
        x: (rows, D)
        count: how many
        generator: of the draws, on the CPU
    """
    nearest = torch.ones(len(x), dtype=torch.float64)
    chosen: list[int] = []
    for _ in range(count):
        weights = nearest if nearest.sum() > 0 else torch.ones_like(nearest)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        found = distances(x, x[chosen[-1:]]).squeeze(1).double().cpu()
        nearest = found if len(chosen) == 1 else torch.minimum(nearest, found)
    return x[chosen]


def training_rows(trainer: Trainer, seed: int) -> Tensor:
    """Inputs of training rows, on the trainer's device: of our loader the same on all processes.

    Args:
        trainer: that begins to train
        seed: of the choice of `ROWS` of them
    """
    loader = trainer.train_dataloader
    if isinstance(loader, Loader):
        rows = shuffled(len(loader.table), seed, 0)[:ROWS].to(loader.table.device)
        return on_device(trainer, loader.table.gather(rows, 0))
    parts: list[Tensor] = []
    for batch in loader:
        parts.append(on_device(trainer, batch))
        if sum(map(len, parts)) >= ROWS:
            break
    return torch.cat(parts)


def on_device(trainer: Trainer, batch: tuple[Tensor, ...]) -> Tensor:
    """The inputs of a batch as a training step gets them."""
    return trainer.strategy.batch_to_device(batch)[0]
