"""Samples per second of the in-memory loader beside torch's DataLoader, on uint8 28x28 images.

python benchmarks/loader.py [--batch_size 128]

Both make the same batches in this process: (batch, 1, 28, 28) uint8 and labels, shuffled. The two
are timed in turn, an epoch each, and the ratio is that of their medians: machines are noisy.
"""

import argparse
import statistics
import time
from collections.abc import Iterable

import torch
from torch.utils.data import DataLoader, TensorDataset

from datamodules.images import ImageTable
from datamodules.loading.loader import Loader

ROWS, ROUNDS = 50_000, 7


def seconds(batches: Iterable[tuple[torch.Tensor, ...]]) -> float:
    """The time that one epoch takes."""
    start = time.perf_counter()
    for images, _ in batches:
        assert images.dtype == torch.uint8
    return time.perf_counter() - start


def main() -> None:
    """Prints samples per second of each loader, and their ratios to torch's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch_size", type=int, default=128)
    size = parser.parse_args().batch_size
    images = torch.randint(0, 256, (ROWS, 28, 28), dtype=torch.uint8)
    labels = torch.randint(0, 10, (ROWS,))
    stock = TensorDataset(images.unsqueeze(1), labels)
    table, shifted = ImageTable(images, labels), ImageTable(images, labels, shift=2)
    loaders = {
        "DataLoader(TensorDataset)": DataLoader(stock, size, shuffle=True, drop_last=True),
        "Loader(ImageTable)": Loader(table, size, shuffle=True),
        "Loader(ImageTable), shift 2": Loader(shifted, size, shuffle=True),
    }
    times = {name: [] for name in loaders}
    for _ in range(ROUNDS):
        for name, loader in loaders.items():
            times[name].append(seconds(loader))
    medians = {name: statistics.median(values) for name, values in times.items()}
    slowest = medians["DataLoader(TensorDataset)"]
    print(f"batch {size}, {ROWS} images, median of {ROUNDS} epochs")
    for name, median in medians.items():
        print(f"{name:30}{ROWS / median:12,.0f} samples/s{slowest / median:8.1f} x")


if __name__ == "__main__":
    main()
