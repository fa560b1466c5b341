"""CIFAR's binary archives: read, checked, split, and refused when they are something else."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import CIFAR10, CIFAR100
from datamodules.augmentation import Flip
from datamodules.cifar import read_archive, read_records

REAL = os.environ.get("CIFAR100_WEBP")  # folder of its pictures in tiles, and of their labels


def records(pixels, *labels):
    """The binary format: labels, then red, green and blue, row by row."""
    columns = [np.asarray(label, np.uint8)[:, None] for label in labels]
    return np.concatenate([*columns, pixels.reshape(len(pixels), -1)], 1).tobytes()


def write_archive(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-binary/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


def pixels(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


TRAIN, TEST = pixels(50), pixels(20, 1)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Small archives of the same format, with their own checksums."""
    batches = {
        f"data_batch_{n + 1}.bin": records(TRAIN[10 * n :][:10], range(10)) for n in range(5)
    }
    ten = {**batches, "test_batch.bin": records(TEST, np.arange(20) % 10)}
    ten |= {
        "batches.meta.txt": "\n".join(f"class {c}".replace(" ", "_") for c in range(10)) + "\n\n"
    }
    hundred = {"train.bin": records(TRAIN, np.arange(50) % 20, np.arange(50) % 100)}
    hundred |= {"test.bin": records(TEST, np.arange(20) % 20, np.arange(20) + 80)}
    hundred |= {"fine_label_names.txt": "".join(f"fine_{c}\n" for c in range(100))}
    for kind, files in ((CIFAR10, ten), (CIFAR100, hundred)):
        files = {n: c if isinstance(c, bytes) else c.encode() for n, c in files.items()}
        monkeypatch.setattr(
            kind, "md5", write_archive(tmp_path / "data/cifar" / kind.archive, files)
        )
        monkeypatch.setattr(kind, "url", "http://127.0.0.1:9/")

    def make(kind, **kwargs):
        data = kind(**{"batch_size": 5, "val_size": 0, **kwargs})
        data.prepare_data()
        data.setup("fit")
        return data

    return make


def test_ten_classes(made):
    data = made(CIFAR10)
    images, labels = data.tables["train"].gather(torch.arange(50), 0)
    assert torch.equal(images, torch.from_numpy(TRAIN)) and images.dtype == torch.uint8
    assert labels.tolist() == [row % 10 for row in range(50)] and labels.dtype == torch.int64
    assert torch.equal(data.tables["test"].pixels, torch.from_numpy(TEST))
    assert data.class_names[3] == "class_3" and data.classes == 10
    inputs, _ = data.on_after_batch_transfer((images, labels), 0)
    torch.testing.assert_close(inputs, images / 255)
    assert data.input_shape == (3, 32, 32) and data.val_dataloader() == []


def test_a_hundred_classes_are_the_finer_labels(made):
    data = made(CIFAR100)
    assert data.tables["train"].labels.tolist() == list(range(50))
    assert data.tables["test"].labels.tolist() == list(range(80, 100))
    assert data.classes == 100 and data.class_names[99] == "fine_99"


def test_validation_pictures_are_of_each_class_and_no_others(made):
    data = made(CIFAR10, val_size=20)
    parts = [data.tables[part] for part in ("train", "val")]
    assert sorted(torch.cat([part.rows for part in parts]).tolist()) == list(range(50))
    assert parts[1].labels.bincount().tolist() == [2] * 10
    assert torch.equal(
        parts[1].gather(torch.arange(20), 0)[0], torch.from_numpy(TRAIN)[parts[1].rows]
    )
    other = made(CIFAR10, val_size=20, split_seed=1)
    assert not torch.equal(other.tables["val"].rows, parts[1].rows)
    with pytest.raises(ValueError, match=r"--data.val_size=50 of 50 rows"):
        made(CIFAR10, val_size=50)


def test_a_column_is_of_the_pictures_that_are_seen(made, monkeypatch):
    data = made(CIFAR10, val_size=20)

    def sums(inputs):
        return inputs.sum((2, 3))

    assert data.compute_column(sums, torch.float32) == ["train", "val"]
    batches = [*data.train_dataloader(), *data.val_dataloader()]
    assert len(batches) == 10, "of five"
    for batch in batches:
        inputs, _, column = data.on_after_batch_transfer(batch, 0)
        torch.testing.assert_close(column, sums(inputs))
    assert len(next(iter(data.test_dataloader()))) == 2
    data.drop_columns()
    assert len(next(iter(data.train_dataloader()))) == 2
    data.augment = [Flip(1.0)]
    assert data.compute_column(sums, torch.float32) == ["val"], "training pictures change"
    data.train_dataloader()  # which makes them change
    data.augment = []
    assert data.compute_column(sums, torch.float32) == ["train", "val"]
    for batch in data.train_dataloader():
        inputs, _, column = data.on_after_batch_transfer(batch, 0)
        torch.testing.assert_close(column, sums(inputs))
    monkeypatch.setattr("datamodules.picture_data.LARGEST_COLUMN", 50 * 3 * 4 - 1)
    assert data.compute_column(sums, torch.float32) == []
    assert data.compute_column(sums, torch.float16) == ["train", "val"]


def test_training_pictures_alone_change(made):
    data = made(CIFAR10, augment=[Flip(1.0)], val_size=10)
    ((images, _), *_) = data.train_dataloader()
    stored = {image.tobytes() for image in TRAIN}
    assert all(image.flip(2).numpy().tobytes() in stored for image in images)
    assert torch.equal(next(iter(data.test_dataloader()))[0], torch.from_numpy(TEST[:5]))


def test_another_archive_is_refused(made):
    path = Path("data/cifar", CIFAR10.archive)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ValueError, match=r"cifar-10-binary.tar.gz is not the original file"):
        made(CIFAR10)


def test_what_is_not_there_is_downloaded(made):
    with pytest.raises(OSError, match=r"cannot download http://127.0.0.1:9/cifar-100-binary.tar"):
        made(CIFAR100, data_dir="elsewhere")
    assert not Path("elsewhere").exists()


def test_damaged_archives_are_named(made, tmp_path):
    path = Path("data/cifar", CIFAR10.archive)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ValueError, match=r"cut.tar.gz is damaged"):
        read_archive(cut, ["test_batch.bin"])
    with pytest.raises(ValueError, match=r"has no file test.bin"):
        read_archive(path, ["test.bin"])
    with pytest.raises(ValueError, match=r"x is no file of records of 3073 bytes"):
        read_records(b"12", 1, "x")


def test_the_checksums_are_the_published_ones():
    assert CIFAR10.md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert CIFAR100.md5 == "03b5dce01913d631647c71ecec9e9cb8"


def untiled(path):
    tiles = np.asarray(Image.open(path)).reshape(50, 32, 50, 32, 3)
    return tiles.transpose(0, 2, 4, 1, 3).reshape(2500, 3, 32, 32)


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="CIFAR100_WEBP names the folder of its pictures")
def test_the_real_pictures(tmp_path, monkeypatch):
    """In the binary format, with the mean and spread of each colour that are known of them."""
    files = {"fine_label_names.txt": "".join(f"fine_{c}\n" for c in range(100)).encode()}
    for part in ("train", "test"):
        tiles = [untiled(path) for path in sorted(Path(REAL).glob(f"{part}_*.webp"))]
        labels = [np.load(Path(REAL, f"{part}_{kind}.npy")) for kind in ("coarse", "fine")]
        files[f"{part}.bin"] = records(np.concatenate(tiles), *labels)
    path = tmp_path / CIFAR100.archive
    monkeypatch.setattr(CIFAR100, "md5", write_archive(path, files))
    data = CIFAR100(tmp_path, val_size=0)
    data.prepare_data()
    data.setup("fit")
    train, test = data.tables["train"], data.tables["test"]
    assert (len(train), len(test)) == (50_000, 10_000)
    assert train.labels.bincount().tolist() == [500] * 100
    assert test.labels.bincount().tolist() == [100] * 100
    pixels = train.pixels.float() / 255
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    torch.testing.assert_close(mean, torch.tensor([0.5071, 0.4865, 0.4409]), atol=5e-4, rtol=0)
    torch.testing.assert_close(std, torch.tensor([0.2673, 0.2564, 0.2762]), atol=5e-4, rtol=0)
