"""MNIST and Fashion-MNIST from their original files."""

import gzip
import os
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor

from datamodules.images import Images
from datamodules.reading.download import fetch


def read_idx(path: Path) -> Tensor:
    """Reads a gzipped IDX file of bytes: a uint8 tensor of the shape that its header gives.

    Raises:
        ValueError: if the file is not gzip, is cut off, or is not an IDX file of bytes
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    # Two zeros, 8 for unsigned bytes, the number of dimensions, then each size, big-endian.
    dimensions = content[3] if content[:3] == b"\0\0\x08" else 0
    sizes = np.frombuffer(content, ">u4", dimensions, 4).tolist() if dimensions else []
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions) if dimensions else []
    if not dimensions or len(values) != np.prod(sizes):
        raise ValueError(f"{path} is not an IDX file of bytes")
    return torch.from_numpy(values.reshape(sizes).copy())


class MNIST(Images):
    """70,000 handwritten digits of 28x28 pixels; 10,000 of them are the test set.

    LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition"
    (1998). The four original files are downloaded to `data_dir` once and checked by their md5.

    Args:
        data_dir: folder of the four .gz files; a file that is not there is downloaded to it; by
            default data/mnist or data/fashion-mnist
        batch_size: images per batch, on each process
        val_size: images taken out of the training set for validation
        shift: largest random shift of a training image along each axis, pixels
        classes: the classes kept in the training set, all if not given; val and test keep all
        labelled: training images that keep their label, as many of each class; by default all
        split_seed: decides which images are for validation
        seed: of the order and the shifts of training images
        only: the classes that there are at all, also in val and test; by default all
        per_class: training images of each class that are kept; by default all
    """

    class_count = 10
    folder: ClassVar[str] = "data/mnist"
    url: ClassVar[str] = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        batch_size: PositiveInt = 128,
        val_size: PositiveInt = 10_000,
        shift: NonNegativeInt = 0,
        classes: list[NonNegativeInt] | None = None,
        labelled: PositiveInt | None = None,
        split_seed: NonNegativeInt = 0,
        seed: NonNegativeInt = 0,
        only: list[NonNegativeInt] | None = None,
        per_class: PositiveInt | None = None,
    ) -> None:
        data_dir = str(
            Path(data_dir or self.folder).expanduser()
        )  # a plain value, as checkpoints hold them
        given = (batch_size, val_size, shift, classes, labelled, split_seed, seed)
        super().__init__(*given, only, per_class)
        self.data_dir = Path(data_dir)

    def prepare_data(self) -> None:
        for name, md5 in self.md5.items():
            fetch(self.url + name, self.data_dir / name, f"md5:{md5}")

    def place(self, part: str, row: int) -> str:
        name = {"train": "train", "test": "t10k"}[part]
        return f"{self.data_dir / name}-labels-idx1-ubyte.gz, row {row}"

    def load(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        train, test = (
            (
                read_idx(self.data_dir / f"{part}-images-idx3-ubyte.gz"),
                read_idx(self.data_dir / f"{part}-labels-idx1-ubyte.gz").long(),
            )
            for part in ("train", "t10k")
        )
        return train, test


class FashionMNIST(MNIST):
    """70,000 pictures of clothes of 28x28 pixels in 10 classes; 10,000 of them are the test set.

    Xiao, Rasul & Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms" (2017), https://arxiv.org/abs/1708.07747. Files as for MNIST.
    """

    folder = "data/fashion-mnist"
    url = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }
