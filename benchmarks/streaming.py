"""Samples per second of a dataset in Parquet files: mapped, streamed, and as pixels in memory.

python benchmarks/streaming.py [--batch_size 128] [--rounds 5]

60,000 images of 28x28 random bytes are written, as PNG, to 12 Parquet files in a temporary folder.
All make the same batches, (batch, 1, 28, 28) uint8 and labels, shuffled, but for the library's own
stream, whose buffer is as long as a block; its images are decoded in the same way, and the 5 s that
it sleeps at an epoch's end are left out. They are timed in turn, an epoch each; ratios are those of
the medians, to the stream without workers: machines are noisy. At last, the time to the first batch
of an epoch, and to the first after its middle.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import datasets
import numpy as np
import torch
from torch.utils.data import DataLoader

from datamodules import HuggingFace
from datamodules.images import ImageTable
from datamodules.loading.loader import Loader

ROWS, FILES, GROUP, BLOCK = 60_000, 12, 1000, 1000
FEATURES = datasets.Features(
    {"image": datasets.Image(), "label": datasets.ClassLabel(num_classes=10)}
)


def write(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Writes the files; returns images (rows, 28, 28), uint8, and labels (rows,)."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (ROWS, 28, 28), dtype=np.uint8)
    labels = generator.integers(0, 10, ROWS)
    for number, rows in enumerate(np.array_split(np.arange(ROWS), FILES)):
        columns = {"image": list(images[rows]), "label": labels[rows].tolist()}
        part = datasets.Dataset.from_dict(columns, features=FEATURES)
        part.to_parquet(folder / f"train-{number:02}.parquet", batch_size=GROUP)
    return torch.from_numpy(images), torch.from_numpy(labels)


def librarys_own(folder: Path, size: int) -> DataLoader:
    """The library's stream, shuffled by its buffer, in torch's loader."""
    files = sorted(map(str, folder.glob("*.parquet")))
    rows = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)

    def collate(rows: list[dict]) -> tuple[torch.Tensor, torch.Tensor]:
        images = np.stack([np.asarray(row["image"]) for row in rows])[:, None]
        return torch.from_numpy(images), torch.tensor([row["label"] for row in rows])

    rows = rows.shuffle(seed=0, buffer_size=BLOCK)
    return DataLoader(rows, size, collate_fn=collate, drop_last=True)


def seconds(batches: Iterable[tuple[torch.Tensor, ...]], count: int) -> float:
    """The time until so many batches came out."""
    start = time.perf_counter()
    for images, _ in islice(iter(batches), count):
        assert images.dtype == torch.uint8 and images.shape[1:] == (1, 28, 28)
    return time.perf_counter() - start


def main() -> None:
    """Prints samples per second and their ratios, and how long it takes to start and to resume."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    size = arguments.batch_size
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "shards")
        folder.mkdir()
        images, labels = write(folder)

        def loader(**kwargs: int | bool) -> Iterable[tuple[torch.Tensor, ...]]:
            columns = {"inputs": "image", "target": "label", "cache_dir": f"{temporary}/cache"}
            data = HuggingFace(str(folder), **columns, val_size=0, batch_size=size, **kwargs)
            data.prepare_data()
            data.setup("fit")
            return data.train_dataloader()

        makers: dict[str, Callable[[], Iterable]] = {
            "pixels in memory": lambda: Loader(ImageTable(images, labels), size, shuffle=True),
            "mapped": loader,
            "the library's own stream": lambda: librarys_own(folder, size),
            **{
                f"streaming, {workers} workers": lambda workers=workers: loader(
                    streaming=True, block=BLOCK, num_workers=workers
                )
                for workers in (0, 1, 2)
            },
        }
        loaders = {name: make() for name, make in makers.items()}
        times = {name: [] for name in loaders}
        for _ in range(arguments.rounds):
            for name, of_name in loaders.items():
                times[name].append(seconds(of_name, ROWS // size))
        medians = {name: statistics.median(values) for name, values in times.items()}
        print(f"batch {size}, {ROWS} images, median of {arguments.rounds} epochs")
        for name, median in medians.items():
            ratio = medians["streaming, 0 workers"] / median
            print(f"{name:26}{ROWS / median:12,.0f} samples/s{ratio:8.2f} x")
        print("time to the first batch, of an epoch and after its middle")
        for name in [name for name in loaders if "own" not in name]:
            begin, resumed = [], []
            for _ in range(arguments.rounds):
                fresh, later = makers[name](), makers[name]()
                begin.append(seconds(fresh, 1))
                middle = {**fresh.state_dict(), "position": len(fresh) // 2}
                later.load_state_dict(middle)
                resumed.append(seconds(later, 1))
            both = [statistics.median(values) * 1000 for values in (begin, resumed)]
            print(f"{name:26}{both[0]:12.0f} ms{both[1]:12.0f} ms")


if __name__ == "__main__":
    main()
