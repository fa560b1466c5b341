"""Pictures per second: decoding, decoded once and augmented, beside torch's DataLoader.

python benchmarks/pictures_speed.py [--pictures 640] [--size 64] [--workers 2] [--rounds 5]

The pictures are JPEGs of 640x480 pixels, of smooth random colours, in a temporary folder. All make
batches of 64, (64, 3, size, size). torch's loader takes pictures one by one in its workers, which
stay from epoch to epoch: from the files, decoded in every epoch as a folder's data set does, or
from the same decoded pixels in memory that ours has; it augments with Pillow. This process computes
on one thread, as each worker does, but decodes on as many as there are cores. All are timed in
turn, whole epochs for half a second or more; a ratio is that of the medians, to torch's loader of
the same kind.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch.utils.data import DataLoader, Dataset

from datamodules import ImageFolder
from datamodules.augmentation import ColorJitter, Flip, RandomResizedCrop
from datamodules.reading.decoding import decode
from datamodules.reading.listing import Listing, class_folder
from datamodules.reading.pictures import Pictures

BATCH = 64
SECONDS = 0.5  # that each is timed in a round, at least


def write(folder: Path, count: int) -> None:
    """Writes pictures of two classes."""
    for number in range(count):
        small = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        path = folder / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        image = Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC)
        image.save(path, quality=90)


class Files(Dataset):
    """What a folder's data set does for each picture, without and with augmentation.

    Args:
        folder: of the pictures
        size: in pixels, each way
        augment: whether they are
        is_kept: whether all are decoded at the start, and kept in memory
    """

    def __init__(self, folder: Path, size: int, augment: bool, is_kept: bool) -> None:
        self.paths, self.augment = sorted(folder.rglob("*.jpg")), augment
        self.pictures = Pictures(size, "RGB", [folder])
        rows = range(len(self)) if is_kept else ()
        self.kept = np.stack([self.read(row) for row in rows]) if is_kept else None

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, row: int) -> np.ndarray:
        """A picture's pixels (3, size, size), from its file."""
        return self.pictures.read(None, str(self.paths[row]))

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        pixels = self.read(row) if self.kept is None else self.kept[row]
        if self.augment:
            pixels = self.changed(Image.fromarray(pixels.transpose(1, 2, 0)))
        return torch.from_numpy(pixels), row % 2

    def changed(self, image: Image.Image) -> np.ndarray:
        """Flipped, cut out, resized and jittered, as ImageFolder's augmentations do."""
        random, size = torch.rand(8).tolist(), image.size[0]
        if random[0] < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        side = size * (0.08 + 0.92 * random[1]) ** 0.5
        left, upper = random[2] * (size - side), random[3] * (size - side)
        box = (left, upper, left + side, upper + side)
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for kind, number in zip(kinds, random[4:], strict=False):
            image = kind(image).enhance(0.6 + 0.8 * number)
        return np.asarray(image).transpose(2, 0, 1).copy()


class Decoded:
    """All pictures' pixels, decoded anew each time that they are gone through."""

    def __init__(self, listing: Listing, pictures: Pictures) -> None:
        self.listing, self.pictures = listing, pictures

    def __iter__(self) -> Iterator[object]:
        return decode(self.listing, self.pictures, range(len(self.listing)))


def epoch(batches: Iterable[object]) -> float:
    """Seconds that it takes to go through batches once: a mean over half a second, or once."""
    start, count = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < SECONDS:
        for _ in batches:
            pass
        count += 1
    return seconds / count


def ways(folder: Path, cache: str, size: int, workers: int) -> dict[str, Callable[[], float]]:
    """An epoch of each."""
    common = {"num_workers": workers, "drop_last": True, "shuffle": True}
    common["persistent_workers"] = workers > 0
    theirs = {
        f"torch{kept}{augmented}": DataLoader(
            Files(folder, size, bool(augmented), bool(kept)), BATCH, **common
        )
        for kept in ("", ", in memory")
        for augmented in ("", ", augmented")
    }
    made = {"size": size, "batch_size": BATCH, "cache_dir": cache, "val_size": 0, "test_size": 0}

    def made_of(**kwargs: object) -> Iterable[object]:
        data = ImageFolder(str(folder), **made, **kwargs)
        data.setup("fit")
        return data.train_dataloader()

    listing, pictures = class_folder(folder, str(folder)), Pictures(size, "RGB", [folder])
    ours = {
        "in memory": made_of(),
        "mapped": made_of(memory=0.0),
        "in memory, augmented": made_of(augment=[Flip(), RandomResizedCrop(), ColorJitter()]),
    }
    return {
        **{name: lambda loader=loader: epoch(loader) for name, loader in theirs.items()},
        "decoding, once": lambda: epoch(Decoded(listing, pictures)),
        **{name: lambda loader=loader: epoch(loader) for name, loader in ours.items()},
    }


def beside_of(name: str) -> str:
    """Which of torch's loaders a way is compared with: the one from the files, or from memory."""
    if name.startswith("torch") or name == "decoding, once":
        return "torch"
    return f"torch, in memory{', augmented' if 'augmented' in name else ''}"


def main() -> None:
    """Prints pictures per second, and the ratios to torch's loader."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=640)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    given.pictures -= given.pictures % BATCH  # all are in whole batches
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "photos")
        folder.mkdir()
        write(folder, given.pictures)
        timed = ways(folder, str(Path(scratch, "cache")), given.size, given.workers)
        times: dict[str, list[float]] = {name: [] for name in timed}
        for _ in range(given.rounds):
            for name, run in timed.items():
                times[name].append(run())
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(
        f"{given.pictures} JPEGs of 640x480 to {given.size} pixels, {given.workers} workers, "
        f"{os.cpu_count()} cores"
    )
    for name, median in medians.items():
        beside = medians[beside_of(name)]
        print(f"{name:24}{given.pictures / median:12,.0f} pictures/s{beside / median:8.1f} x")


if __name__ == "__main__":
    main()
