"""CIFAR-10 and CIFAR-100 from their binary archives, which hold no code as the pickled ones may."""

import os
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.augmentation.changes import Augmentation
from datamodules.augmentation.mixing import Mix
from datamodules.loading.pictures import PictureTable
from datamodules.loading.shares import hold_out_of_each
from datamodules.picture_data import PictureData
from datamodules.reading.download import fetch

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32


def read_archive(path: Path, names: list[str]) -> dict[str, bytes]:
    """The contents of some files of a .tar.gz, by name; nothing is unpacked to the disk.

    Raises:
        ValueError: if it is damaged, or has no such file
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if name in names and member.isfile():
                    found[name] = archive.extractfile(member).read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if lacking := sorted(set(names) - set(found)):
        raise ValueError(f"{path} has no file {lacking[0]}")
    return found


def read_records(content: bytes, labels: int, where: str) -> tuple[Tensor, Tensor]:
    """Pictures (rows, 3, 32, 32) uint8 and class numbers (rows,) of a binary file.

    Each record is its labels, a byte each, of which the last one is the finest, and its pixels, all
    red ones first.

    Args:
        content: of the file
        labels: how many a record has
        where: the file's name, for messages

    Raises:
        ValueError: if there is not a whole number of records
    """
    if not content or len(content) % (labels + PIXELS):
        raise ValueError(f"{where} is no file of records of {labels + PIXELS} bytes")
    records = np.frombuffer(content, np.uint8).reshape(-1, labels + PIXELS)
    images = torch.from_numpy(records[:, labels:].copy()).view(-1, *SHAPE)
    return images, torch.from_numpy(records[:, labels - 1].astype(np.int64))


class CIFAR10(PictureData):
    """60,000 colour pictures of 32x32 pixels in 10 classes; 10,000 of them are the test set.

    Krizhevsky, "Learning multiple layers of features from tiny images" (2009),
    https://www.cs.toronto.edu/~kriz/cifar.html. The binary archive, 162 MB, is downloaded to
    `data_dir` once and checked by its md5.

    Args:
        data_dir: folder of the .tar.gz, which is downloaded to it if it is not there; by default
            data/cifar
        batch_size: pictures per batch, on each process
        val_size: pictures taken out of the training set for validation, of each class the same; 0:
            no validation
        augment: random changes of the training pictures, in their order, as Flip
        mix: MixUp or CutMix of the training pictures
        split_seed: decides which pictures are for validation
        seed: of the order, and of what is random in `augment` and `mix`
    """

    url: ClassVar[str] = "https://www.cs.toronto.edu/~kriz/"
    archive: ClassVar[str] = "cifar-10-binary.tar.gz"
    md5: ClassVar[str] = "c32a1d4ab5d03f1284b67883e8d87530"
    parts: ClassVar[dict[str, list[str]]] = {
        "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
        "test": ["test_batch.bin"],
    }
    names_file: ClassVar[str] = "batches.meta.txt"
    labels: ClassVar[int] = 1  # of a record
    input_shape = torch.Size(SHAPE)

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        batch_size: PositiveInt = 128,
        val_size: NonNegativeInt = 5000,
        augment: list[Augmentation] | None = None,
        mix: Mix | None = None,
        split_seed: NonNegativeInt = 0,
        seed: NonNegativeInt = 0,
    ) -> None:
        # A plain value, as checkpoints hold them.
        data_dir = str(Path(data_dir or "data/cifar").expanduser())
        super().__init__(batch_size, augment, mix, seed)
        self.path = Path(data_dir, self.archive)
        self.val_size, self.split_seed = val_size, split_seed

    def prepare_data(self) -> None:
        fetch(self.url + self.archive, self.path, f"md5:{self.md5}")

    def setup(self, stage: str) -> None:
        if self.tables:
            return
        every = [name for files in self.parts.values() for name in files]
        content = read_archive(self.path, [*every, self.names_file])
        self.class_names = content[self.names_file].decode().split()
        for part, files in self.parts.items():
            read = [read_records(content.pop(n), self.labels, f"{self.path}, {n}") for n in files]
            images, labels = map(torch.cat, zip(*read, strict=True))
            self.tables[part] = PictureTable(images, labels)
        self._hold_out()

    def _hold_out(self) -> None:
        if not self.val_size:
            return
        whole = self.tables["train"]
        shares = hold_out_of_each(
            whole.rows, whole.labels, self.val_size, "--data.val_size", self.split_seed
        )
        for part, rows in zip(("train", "val"), shares, strict=True):
            self.tables[part] = PictureTable(whole.pixels, whole.labels[rows], rows)


class CIFAR100(CIFAR10):
    """60,000 colour pictures of 32x32 pixels in 100 classes; 10,000 of them are the test set.

    As CIFAR-10, with the finer of its two labels.
    """

    archive = "cifar-100-binary.tar.gz"
    md5 = "03b5dce01913d631647c71ecec9e9cb8"
    parts: ClassVar[dict[str, list[str]]] = {"train": ["train.bin"], "test": ["test.bin"]}
    names_file = "fine_label_names.txt"
    labels = 2  # the coarse one first
