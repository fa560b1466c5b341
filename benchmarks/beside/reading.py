"""Batches from memory beside torch's DataLoader, and measures of generated pictures."""

import time
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from beside.comparison import Comparison, Goal
from datamodules.images import ImageTable
from datamodules.loading.loader import Loader
from recipes.parts.evaluation.images import quality

ROWS, BATCH = 50_000, 128
EXAMPLES, FEATURES = 10_000, 64  # of generated pictures; a ConvNet's features are 64


def epoch(loader: Iterable[tuple[Tensor, ...]]) -> float:
    """Seconds of a core for each batch to be made once."""
    start = time.thread_time()
    for images, _ in loader:
        assert images.dtype == torch.uint8
    return time.thread_time() - start


def comparison() -> Comparison:
    """Sides and goals of an epoch of (batch, 1, 28, 28) bytes and labels, shuffled."""
    images = torch.randint(0, 256, (ROWS, 28, 28), dtype=torch.uint8)
    labels = torch.randint(0, 10, (ROWS,))
    stock = TensorDataset(images.unsqueeze(1), labels)
    table, shifted = ImageTable(images, labels), ImageTable(images, labels, shift=2)
    loaders = {
        "Loader": Loader(table, BATCH, shuffle=True),
        "Loader, shifts": Loader(shifted, BATCH, shuffle=True),
        "DataLoader(TensorDataset)": DataLoader(stock, BATCH, shuffle=True, drop_last=True),
    }
    return Comparison(
        "an epoch of 50,000 pictures of 28x28, read",
        {name: lambda loader=loader: epoch(loader) for name, loader in loaders.items()},
        [
            Goal("Loader", "DataLoader(TensorDataset)", 1 / 20),
            Goal("Loader, shifts", "DataLoader(TensorDataset)", 1 / 10),
        ],
    )


def judged() -> float:
    """Seconds of a core for KID, FID, precision, recall, density and coverage."""
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, EXAMPLES, FEATURES, generator=generator)
    start = time.thread_time()
    quality(real, fake + 0.1)
    return time.thread_time() - start


def comparison_of_measures() -> Comparison:
    """The goal of a GAN's evaluation."""
    work = f"KID, FID, precision, recall of {EXAMPLES:,} pictures by {FEATURES} features"
    return Comparison(work, {"evaluation": judged}, [Goal("evaluation", "", 3.0)])
